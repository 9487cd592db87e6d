/* admin_grants: join tokens, certificates and new authorities on an administrator's word. */
#include "admin/admin.h"

#include "authority/grant.h"
#include "authority/rotate.h"
#include "credential/token.h"
#include "people/invite.h"
#include "record/events.h"

#include <string.h>

rl_code rl_admin_add_token(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__AddTokenRequest *request, Pb__AddTokenResponse *reply,
                           struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    char *secret = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "token", "create", &caller, err);
    if (rc == RL_OK)
        rc = rl_grant_token(auth, request, caller->user, &reply->token, &secret, err);
    if (rc == RL_OK) {
        rl_message_text(&reply->secret, secret);
        rl_message_text(&reply->ca_pin, caller->snapshot->authorities->ca_pin);
        rl_message_text(&reply->public_address, rl_public_address(auth, caller->snapshot));
        Pb__Event *event = rl_auth_event(auth, "token.create", "success", peer);
        rl_auth_event_resource(event, "token", reply->token->metadata->name, "");
        rl_auth_tell(auth, &event);
    }
    rl_token_free(&secret);
    rl_caller_close(&caller);
    return rc;
}

/* Whoever may do this may be anyone: it takes the right to make authorities, not users. */
rl_code rl_admin_sign_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__SignUserRequest *request, Pb__LoginResponse *reply,
                           struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "ca", "create", &caller, err);
    if (rc == RL_OK && peer->identity->claims->no_reissue)
        rc = rl_fail(err, RL_E_DENIED, "this identity is one that signs no others");
    if (rc == RL_OK)
        rc = rl_grant_user(auth, request, RL_SIGNED_TTL_S_MAX, reply, err);
    if (rc == RL_OK) {
        Pb__Event *event = rl_auth_event(auth, "cert.issue", "success", peer);
        rl_auth_event_resource(event, "user", "", request->user);
        rl_event_detail(event, "method", "sign");
        rl_auth_tell(auth, &event);
    }
    rl_caller_close(&caller);
    return rc;
}

/* Who takes away the authority that vouches for him is nobody a moment later. */
static rl_code check_own_authority(const struct rl_caller *caller, const struct rl_identity *who,
                                   const Pb__RotateAuthoritiesRequest *request,
                                   struct rl_error *err)
{
    const struct rl_authority *signer = &caller->snapshot->authorities->user_x509;
    uint8_t hash[32];
    bool is_about_users = request->n_kinds == 0;
    for (size_t i = 0; i < request->n_kinds; i++)
        is_about_users |= strcmp(request->kinds[i], "user") == 0;
    if (!is_about_users || strcmp(request->phase, "standby") != 0 ||
        (X509_digest(signer->certificate, EVP_sha256(), hash, NULL) == 1 &&
         memcmp(hash, who->authority_sha256, sizeof hash) == 0))
        return RL_OK;
    return rl_fail(err, RL_E_PRECONDITION,
                   "your own identity is of the authority that would go: log in again, or have a "
                   "new one signed (tctl auth sign), and go on with that");
}

rl_code rl_admin_rotate(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__RotateAuthoritiesRequest *request,
                        Pb__RotateAuthoritiesResponse *reply, struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "ca", "update", &caller, err);
    if (rc == RL_OK)
        rc = check_own_authority(caller, peer->identity, request, err);
    if (rc == RL_OK)
        rc = rl_rotate(auth, request, reply, err);
    if (rc == RL_OK) {
        Pb__Event *event = rl_auth_event(auth, "auth.rotate", "success", peer);
        rl_event_detail(event, "phase", *request->phase ? request->phase : "init");
        rl_event_detail(event, "kind", request->n_kinds == 1 ? request->kinds[0] : "user, host");
        rl_auth_tell(auth, &event);
    }
    rl_caller_close(&caller);
    return rc;
}
