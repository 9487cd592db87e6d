/* token: secrets that grant something once shown: join tokens, invitations. 256 random bits as
 * text; what is stored is only their hash, which needs no salt: there is nothing to guess.
 */
#ifndef RL_CREDENTIAL_TOKEN_H
#define RL_CREDENTIAL_TOKEN_H

#include "bytes/buf.h"

#define RL_TOKEN_SECRET_BYTES 32
#define RL_TOKEN_TEXT_BYTES 43 /* base64url without padding */
#define RL_TOKEN_HASH_BYTES 32

/** A new secret as text; wipe it with rl_token_free(). */
char *rl_token_create(void);
/** Takes NULL; wipes; NULLs the caller's pointer. */
void rl_token_free(char **token);
/** SHA-256 of the text. Errors: RL_E_INVAL when it can not be a token. */
rl_code rl_token_hash(const char *token, uint8_t hash[RL_TOKEN_HASH_BYTES], struct rl_error *err);

#endif
