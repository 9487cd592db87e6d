#include "tls/current.h"

rl_code rl_tls_current_init(struct rl_tls_current *current, const void *owner,
                            rl_tls_context_fn create, struct rl_tls_identity *identity,
                            struct rl_trust *trust, struct rl_error *err)
{
    *current = (struct rl_tls_current){.context = NULL};
    pthread_mutex_init(&current->lock, NULL);
    return rl_tls_current_swap(current, owner, create, identity, trust, err);
}

static void release(SSL_CTX *context, struct rl_tls_identity *identity, struct rl_trust *trust)
{
    SSL_CTX_free(context);
    rl_tls_identity_unref(&identity);
    rl_trust_unref(&trust);
}

void rl_tls_current_fini(struct rl_tls_current *current)
{
    release(current->context, current->identity, current->trust);
    pthread_mutex_destroy(&current->lock);
}

rl_code rl_tls_current_swap(struct rl_tls_current *current, const void *owner,
                            rl_tls_context_fn create, struct rl_tls_identity *identity,
                            struct rl_trust *trust, struct rl_error *err)
{
    SSL_CTX *context = NULL;
    pthread_mutex_lock(&current->lock);
    identity = rl_tls_identity_ref(identity ? identity : current->identity);
    trust = rl_trust_ref(trust ? trust : current->trust);
    rl_code code = create(owner, identity, &context, err);
    if (code == RL_OK) {
        SSL_CTX *old_context = current->context;
        struct rl_tls_identity *old_identity = current->identity;
        struct rl_trust *old_trust = current->trust;
        current->context = context;
        current->identity = identity;
        current->trust = trust;
        context = old_context;
        identity = old_identity;
        trust = old_trust;
    }
    pthread_mutex_unlock(&current->lock);
    release(context, identity, trust);
    return code;
}

SSL *rl_tls_current_begin(struct rl_tls_current *current, struct rl_trust **trust)
{
    pthread_mutex_lock(&current->lock);
    SSL *ssl = SSL_new(current->context);
    if (ssl)
        *trust = rl_trust_ref(current->trust);
    pthread_mutex_unlock(&current->lock);
    return ssl;
}
