/* listing: the nodes that a user may see, from the inventory in memory. */
#ifndef RL_AUTH_LISTING_H
#define RL_AUTH_LISTING_H

#include "people/caller.h"

/** A page ends with the row that passes this: what is more comes with the next one. */
#define RL_LISTING_PAGE_BYTES (2u << 20)

/** The packed ListNodesResponse, behind what is in `out`. Errors: those of rl_caller_of_peer();
 * RL_E_UNAVAILABLE the database; RL_E_EXHAUSTED more than `out` takes. */
rl_code rl_listing_pack(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__ListNodesRequest *request, struct rl_buf *out,
                        struct rl_error *err);
/** The names (or ids, of those without) of the nodes that the caller may see and that have this
 * label, in the order of the list. Owns: each and the array. */
rl_code rl_listing_find(struct rl_auth *auth, const struct rl_caller *caller, const char *key,
                        const char *value, char ***names, size_t *count, struct rl_error *err);

#endif
