/* ticket: AES-256-CBC and HMAC-SHA-256 as RFC 5077, 4 recommends; a key is name 16, HMAC 32,
 * AES 32. A ticket by an older key is good and is replaced by one of the newest. */
#include "tls/ticket.h"

#include "bytes/secret.h"

#include <openssl/core_names.h>
#include <string.h>

#define NAME_BYTES 16
#define HMAC_BYTES 32
#define IV_BYTES 16

rl_code rl_tls_ticket_keys_set(struct rl_tls_ticket_keys *keys, const struct rl_span *from,
                               size_t count, struct rl_error *err)
{
    if (count > RL_TLS_TICKET_KEYS_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d ticket keys", RL_TLS_TICKET_KEYS_MAX);
    for (size_t i = 0; i < count; i++)
        if (from[i].n != RL_TLS_TICKET_KEY_BYTES)
            return rl_fail(err, RL_E_INVAL, "a ticket key must have %d bytes",
                           RL_TLS_TICKET_KEY_BYTES);
    rl_wipe(keys, sizeof *keys);
    for (size_t i = 0; i < count; i++)
        memcpy(keys->keys[i], from[i].p, RL_TLS_TICKET_KEY_BYTES);
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
            return start(keys->keys[i], iv, cipher, mac, false) ? (i == 0 ? 1 : 2) : -1;
    return 0;
}
