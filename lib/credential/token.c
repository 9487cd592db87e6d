/* token: made and hashed. */
#include "credential/token.h"

#include "bytes/encoding.h"
#include "bytes/secret.h"
#include "status/memory.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

char *rl_token_create(void)
{
    uint8_t raw[RL_TOKEN_SECRET_BYTES];
    rl_random(raw, sizeof raw);
    char *text = rl_base64url_encode(RL_SPAN(raw, sizeof raw));
    rl_wipe(raw, sizeof raw);
    return text;
}

void rl_token_free(char **token)
{
    if (!token || !*token)
        return;
    rl_wipe(*token, strlen(*token));
    free(*token);
    *token = NULL;
}

rl_code rl_token_hash(const char *token, uint8_t hash[RL_TOKEN_HASH_BYTES], struct rl_error *err)
{
    if (strnlen(token, RL_TOKEN_TEXT_BYTES + 1) != RL_TOKEN_TEXT_BYTES)
        return rl_fail(err, RL_E_INVAL, "this is not a token: it has %d characters",
                       RL_TOKEN_TEXT_BYTES);
    RL_NEED_MEMORY(EVP_Digest(token, RL_TOKEN_TEXT_BYTES, hash, NULL, EVP_sha256(), NULL) == 1, 0);
    return RL_OK;
}
