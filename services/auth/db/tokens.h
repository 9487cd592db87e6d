/* tokens: what instances join with. Of the secret only the hash is here. */
#ifndef RL_AUTH_DB_TOKENS_H
#define RL_AUTH_DB_TOKENS_H

#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** `token->metadata` has the name and the end. */
rl_code rl_tokens_add(struct rl_db *db, const Pb__Token *token, struct rl_span secret_hash,
                      const char *created_by, struct rl_error *err);
/** Those that can be used. Owns: each by pb__token__free_unpacked() and the array. */
rl_code rl_tokens_list(struct rl_db *db, Pb__Token ***out, size_t *count, struct rl_error *err);
/** Locks the row; one that has ended is found too, so that it can be said. Errors:
 * RL_E_NOT_FOUND. */
rl_code rl_tokens_find(struct rl_db *db, struct rl_span secret_hash, Pb__Token **out,
                       struct rl_error *err);
rl_code rl_tokens_use(struct rl_db *db, const char *id, struct rl_error *err);
rl_code rl_tokens_delete(struct rl_db *db, const char *id, struct rl_error *err);
/** Forgets those that ended a day ago. */
rl_code rl_tokens_prune(struct rl_db *db, struct rl_error *err);

#endif
