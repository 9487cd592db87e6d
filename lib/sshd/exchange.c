/* exchange: V_C, V_S, I_C, I_S, K_S, e or Q_C, f or Q_S, K (RFC 4253, 8; RFC 5656, 4), each a
 * string on the wire. Without the cookie an old login could be played again: a transport that is
 * taken over would present an old exchange, and then the old signature over its session id. */
#include "exchange.h"

#include <openssl/evp.h>
#include <string.h>

#define KEXINIT 20
#define CLIENT_VERSION_PREFIX "SSH-2.0-"

struct fields {
    struct rl_span client_version, server_version, client_init, server_init, host_key;
};

static const struct {
    const char *name;
    const EVP_MD *(*digest)(void);
} exchanges[] = {
    {"curve25519-sha256", EVP_sha256},  {"curve25519-sha256@libssh.org", EVP_sha256},
    {"ecdh-sha2-nistp256", EVP_sha256}, {"ecdh-sha2-nistp384", EVP_sha384},
    {"ecdh-sha2-nistp521", EVP_sha512},
};

static bool read_fields(struct rl_span input, struct fields *f)
{
    struct rl_cursor c = rl_cursor_of(input);
    f->client_version = rl_cursor_string(&c);
    f->server_version = rl_cursor_string(&c);
    f->client_init = rl_cursor_string(&c);
    f->server_init = rl_cursor_string(&c);
    f->host_key = rl_cursor_string(&c);
    for (int i = 0; i < 3; i++)
        rl_cursor_string(&c); /* both public halves and the secret: the client judges them */
    return rl_cursor_done(&c);
}

/* KEXINIT: a byte, the cookie, then name-lists, of which the first is the key exchange's. */
static bool read_init(struct rl_span init, struct rl_span *cookie, struct rl_span *exchange_list)
{
    struct rl_cursor c = rl_cursor_of(init);
    bool is_init = rl_cursor_u8(&c) == KEXINIT;
    *cookie = rl_cursor_bytes(&c, EXCHANGE_COOKIE_BYTES);
    *exchange_list = rl_cursor_string(&c);
    return is_init && !c.failed;
}

/* Cuts the first name off a list; false at its end. */
static bool next_name(struct rl_span *list, struct rl_span *name)
{
    if (list->n == 0)
        return false;
    const uint8_t *comma = memchr(list->p, ',', list->n);
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    *name = RL_SPAN(list->p, n);
    *list = comma ? RL_SPAN(comma + 1, list->n - n - 1) : RL_SPAN(NULL, 0);
    return true;
}

static bool has_name(struct rl_span list, struct rl_span wanted)
{
    struct rl_span name;
    while (next_name(&list, &name))
        if (rl_span_equal(name, wanted))
            return true;
    return false;
}

/* The first of the client's that is also the server's (RFC 4253, 7.1). */
static const EVP_MD *negotiated_digest(struct rl_span client, struct rl_span server)
{
    struct rl_span name;
    while (next_name(&client, &name)) {
        if (!has_name(server, name))
            continue;
        for (size_t i = 0; i < RL_COUNT(exchanges); i++)
            if (rl_span_is(name, exchanges[i].name))
                return exchanges[i].digest();
        return NULL;
    }
    return NULL;
}

static bool is_host_key(struct rl_span key, const struct exchange_expected *expected)
{
    if (rl_span_equal(key, expected->host_public))
        return true;
    return expected->host_certificate.n && rl_span_equal(key, expected->host_certificate);
}

rl_code rl_exchange_hash(struct rl_span input, const struct exchange_expected *expected,
                         uint8_t hash[EXCHANGE_HASH_BYTES_MAX], size_t *hash_n,
                         struct rl_error *err)
{
    struct fields f;
    struct rl_span client_cookie, client_list, cookie, list;
    size_t prefix = strlen(CLIENT_VERSION_PREFIX);
    if (!read_fields(input, &f))
        return rl_fail(err, RL_E_DENIED, "what is to be signed is no exchange hash");
    if (f.client_version.n < prefix ||
        memcmp(f.client_version.p, CLIENT_VERSION_PREFIX, prefix) != 0 ||
        !rl_span_is(f.server_version, EXCHANGE_VERSION))
        return rl_fail(err, RL_E_DENIED, "exchange hash: the versions are not ours");
    if (!is_host_key(f.host_key, expected))
        return rl_fail(err, RL_E_DENIED, "exchange hash: K_S is not this host's");
    if (!read_init(f.client_init, &client_cookie, &client_list) ||
        !read_init(f.server_init, &cookie, &list))
        return rl_fail(err, RL_E_DENIED, "exchange hash: malformed KEXINIT");
    if (expected->cookie.n && !rl_span_equal(cookie, expected->cookie))
        return rl_fail(err, RL_E_DENIED, "exchange hash: not of this connection (cookie)");
    const EVP_MD *digest = negotiated_digest(client_list, list);
    if (!digest)
        return rl_fail(err, RL_E_DENIED, "exchange hash: no known key exchange was negotiated");
    unsigned n = 0;
    if (EVP_Digest(input.p, input.n, hash, &n, digest, NULL) != 1)
        return rl_fail(err, RL_E_INTERNAL, "hashing a key exchange");
    *hash_n = n;
    return RL_OK;
}
