/* secret: an opaque box, so that a key can not be formatted or compared by accident. */
#include "bytes/secret.h"
#include "status/memory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct rl_secret {
    size_t n;
    uint8_t bytes[];
};

struct rl_secret *rl_secret_create(struct rl_span bytes)
{
    struct rl_secret *s = OPENSSL_zalloc(sizeof *s + bytes.n);
    RL_NEED_MEMORY(s, sizeof *s + bytes.n);
    s->n = bytes.n;
    if (bytes.n)
        memcpy(s->bytes, bytes.p, bytes.n);
    return s;
}

rl_code rl_secret_random(size_t n, struct rl_secret **out, struct rl_error *err)
{
    struct rl_secret *s = OPENSSL_zalloc(sizeof *s + n);
    RL_NEED_MEMORY(s, 0);
    s->n = n;
    if (RAND_priv_bytes(s->bytes, (int)n) != 1) {
        rl_secret_free(&s);
        return rl_fail(err, RL_E_INTERNAL, "the system gave no random bytes");
    }
    *out = s;
    return RL_OK;
}

void rl_secret_free(struct rl_secret **secret)
{
    if (!secret || !*secret)
        return;
    OPENSSL_clear_free(*secret, sizeof **secret + (*secret)->n);
    *secret = NULL;
}

struct rl_span rl_secret_reveal(const struct rl_secret *secret)
{
    return RL_SPAN(secret->bytes, secret->n);
}

char *rl_secret_to_text(const struct rl_secret *secret)
{
    char *text = rl_alloc(secret->n + 1);
    if (secret->n)
        memcpy(text, secret->bytes, secret->n);
    return text;
}

void rl_wipe_text(char **text)
{
    if (*text)
        OPENSSL_cleanse(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void rl_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

void rl_random(void *p, size_t n)
{
    if (RAND_bytes(p, (int)n) == 1)
        return;
    /* OpenSSL had no memory, or no source: the kernel needs neither. */
    uint8_t *to = p;
    while (n) {
        ssize_t got = getrandom(to, n, 0);
        RL_ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            to += got;
            n -= (size_t)got;
        }
    }
}
