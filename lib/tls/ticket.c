/* ticket: AES-256-CBC and HMAC-SHA-256 as RFC 5077, 4 recommends; a key is name 16, HMAC 32,
 * AES 32. Whoever shows a ticket is given another: it is for one use (RFC 8446, C.4). Each route
 * derives its own keys from its service's. */
#include "tls/ticket.h"

#include "bytes/secret.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <string.h>

#define NAME_BYTES 16
#define HMAC_BYTES 32
#define IV_BYTES 16

/* HKDF-SHA-256 (RFC 5869) with the route as its info. */
static bool derive(struct rl_span key, const char *route, uint8_t *out)
{
    static const char salt[] = "remoteler-ticket-route-v1";
    size_t made = RL_TLS_TICKET_KEY_BYTES;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool ok = ctx && EVP_PKEY_derive_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_salt(ctx, (const uint8_t *)salt, sizeof salt - 1) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, key.p, (int)key.n) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, (const uint8_t *)route, (int)strlen(route)) == 1 &&
              EVP_PKEY_derive(ctx, out, &made) == 1 && made == RL_TLS_TICKET_KEY_BYTES;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

rl_code rl_tls_ticket_keys_set(struct rl_tls_ticket_keys *keys, const char *route,
                               const struct rl_span *from, size_t count, struct rl_error *err)
{
    if (count > RL_TLS_TICKET_KEYS_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d ticket keys", RL_TLS_TICKET_KEYS_MAX);
    for (size_t i = 0; i < count; i++)
        if (from[i].n != RL_TLS_TICKET_KEY_BYTES)
            return rl_fail(err, RL_E_INVAL, "a ticket key must have %d bytes",
                           RL_TLS_TICKET_KEY_BYTES);
    rl_wipe(keys, sizeof *keys);
    for (size_t i = 0; i < count; i++)
        if (!derive(from[i], route, keys->keys[i]))
            return rl_fail(err, RL_E_INTERNAL, "deriving a ticket key failed");
    keys->count = count;
    return RL_OK;
}

static bool start(const uint8_t *key, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                  bool is_new)
{
    uint8_t hmac_key[HMAC_BYTES];
    char digest[] = "SHA256";
    memcpy(hmac_key, key + NAME_BYTES, HMAC_BYTES);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, hmac_key, HMAC_BYTES),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool started = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key + NAME_BYTES + HMAC_BYTES,
                                     iv, is_new) == 1 &&
                   EVP_MAC_CTX_set_params(mac, params) == 1;
    rl_wipe(hmac_key, sizeof hmac_key);
    return started;
}

int rl_tls_ticket_use(const struct rl_tls_ticket_keys *keys, uint8_t name[16], uint8_t *iv,
                      EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, bool is_new)
{
    if (keys->count == 0)
        return 0;
    if (is_new) {
        memcpy(name, keys->keys[0], NAME_BYTES);
        rl_random(iv, IV_BYTES);
        return start(keys->keys[0], iv, cipher, mac, true) ? 1 : -1;
    }
    for (size_t i = 0; i < keys->count; i++)
        if (memcmp(name, keys->keys[i], NAME_BYTES) == 0)
            return start(keys->keys[i], iv, cipher, mac, false) ? 2 : -1;
    return 0;
}
