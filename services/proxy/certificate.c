#include "certificate.h"

#include "bytes/secret.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

struct certificate {
    char *certificate_path, *key_path;
    struct rl_timer *timer;
    struct rl_tls_identity *identity;
    struct timespec seen[2]; /* when each file was written, as of the last look */
    void (*changed)(void *context);
    void *context;
};

static rl_code read_file(const char *path, struct rl_buf *out, struct rl_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return rl_fail_errno(err, RL_E_INVAL, "%s", path);
    uint8_t part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file)) > 0 && rl_buf_put(out, part, n))
        ;
    fclose(file);
    rl_wipe(part, sizeof part);
    return out->failed
               ? rl_fail(err, RL_E_INVAL, "%s is larger than %d bytes", path, CERTIFICATE_BYTES_MAX)
               : RL_OK;
}

static rl_code read_pair(const struct certificate *c, struct rl_tls_identity **out,
                         struct rl_error *err)
{
    struct rl_buf chain, key;
    rl_buf_init(&chain, CERTIFICATE_BYTES_MAX);
    rl_buf_init(&key, CERTIFICATE_BYTES_MAX);
    rl_code rc = read_file(c->certificate_path, &chain, err);
    if (rc == RL_OK)
        rc = read_file(c->key_path, &key, err);
    if (rc == RL_OK &&
        rl_tls_identity_create_pem(rl_buf_span(&chain), rl_buf_span(&key), out, err) != RL_OK)
        rc = rl_error_prefix(err, "web-certificate %s", c->certificate_path);
    rl_buf_fini(&chain);
    rl_buf_fini(&key);
    return rc;
}

static bool is_newer(const char *path, struct timespec *seen)
{
    struct stat now;
    if (stat(path, &now) < 0 ||
        (now.st_mtim.tv_sec == seen->tv_sec && now.st_mtim.tv_nsec == seen->tv_nsec))
        return false;
    *seen = now.st_mtim;
    return true;
}

static void look(void *context)
{
    struct certificate *c = context;
    struct rl_error err;
    struct rl_tls_identity *fresh = NULL;
    rl_timer_arm(c->timer, CERTIFICATE_LOOK_MS);
    bool certificate_changed = is_newer(c->certificate_path, &c->seen[0]);
    bool key_changed = is_newer(c->key_path, &c->seen[1]);
    if (!certificate_changed && !key_changed)
        return;
    if (read_pair(c, &fresh, &err) != RL_OK) {
        rl_log_warn("the new web certificate can not be used; the old one stays",
                    RL_TEXT("error", err.message));
        return;
    }
    rl_tls_identity_unref(&c->identity);
    c->identity = fresh;
    rl_log_info("the web certificate was renewed");
    c->changed(c->context);
}

rl_code certificate_open(struct rl_loop *loop, const char *certificate_path, const char *key_path,
                         void (*changed)(void *context), void *context, struct certificate **out,
                         struct rl_error *err)
{
    if (!certificate_path && !key_path) {
        *out = NULL;
        return RL_OK;
    }
    if (!certificate_path || !key_path)
        return rl_fail(err, RL_E_INVAL, "web-certificate and web-key have to be set together");
    struct certificate *c = rl_alloc(sizeof *c);
    *c = (struct certificate){.certificate_path = rl_strdup(certificate_path),
                              .key_path = rl_strdup(key_path),
                              .changed = changed,
                              .context = context};
    is_newer(c->certificate_path, &c->seen[0]);
    is_newer(c->key_path, &c->seen[1]);
    rl_code rc = read_pair(c, &c->identity, err);
    if (rc != RL_OK) {
        certificate_close(&c);
        return rc;
    }
    c->timer = rl_timer_create(loop, look, c);
    rl_timer_arm(c->timer, CERTIFICATE_LOOK_MS);
    *out = c;
    return RL_OK;
}

void certificate_close(struct certificate **certificate)
{
    if (!certificate || !*certificate)
        return;
    struct certificate *c = *certificate;
    *certificate = NULL;
    rl_timer_free(&c->timer);
    rl_tls_identity_unref(&c->identity);
    free(c->certificate_path);
    free(c->key_path);
    free(c);
}

struct rl_tls_identity *certificate_identity(const struct certificate *certificate)
{
    return certificate ? certificate->identity : NULL;
}
