/* redeem: what a join token allows, for agents, services and leaf clusters alike.
 */
#ifndef RL_AUTH_REDEEM_H
#define RL_AUTH_REDEEM_H

#include "db/tokens.h"

/** By its secret; locked until the transaction ends. Owns: *out by pb__token__free_unpacked().
 * Errors: RL_E_DENIED: there is none. */
rl_code rl_redeem_find(struct rl_db *db, const char *secret, Pb__Token **out, struct rl_error *err);
/** RL_E_DENIED: it has expired, or is used up (which `is_again` may be). */
rl_code rl_redeem_check_term(const Pb__Token *token, bool is_again, int64_t now_ns,
                             struct rl_error *err);
/** RL_E_DENIED: it is for other kinds. */
rl_code rl_redeem_check_type(const Pb__Token *token, const char *type, struct rl_error *err);
/** RL_E_DENIED: it names others. "" is always allowed. */
rl_code rl_redeem_check_name(const Pb__Token *token, const char *name, struct rl_error *err);

#endif
