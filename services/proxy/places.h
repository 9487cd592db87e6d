/* places: where targets were when auth said so last, for when auth can not be asked. A place is one
 * user's: what another was told is nobody else's business. The far end decides all the same.
 */
#ifndef PROXY_PLACES_H
#define PROXY_PLACES_H

#include "remoteler/v1/control.pb-c.h"
#include "status/status.h"

#include <stdint.h>

#define PLACES_MAX 10000           /* beyond: the one that was used longest ago goes */
#define PLACES_AGE_S (7ll * 86400) /* older is forgotten, unless policy_max_age says otherwise */

/** What was asked for, and by whom; of another cluster its name only, without kind and target.
 * Borrowed; none but the target has a line feed. */
struct place_key {
    const char *user, *user_cluster, *cluster, *kind, *target;
};

struct places;
struct places *places_create(void);
void places_free(struct places **places);
/** Keeps what does not change from minute to minute: not which broker has it, nor whether it is
 * online. */
void places_put(struct places *places, const struct place_key *key,
                const Pb__ResolveTargetResponse *where, int64_t now_s);
/** Auth says that it is not there, or not for this user. */
void places_forget(struct places *places, const struct place_key *key);
/** A copy, or NULL: nothing that is at most max_age_s old. Owns: by
 * pb__resolve_target_response__free_unpacked(). */
Pb__ResolveTargetResponse *places_get(struct places *places, const struct place_key *key,
                                      int64_t now_s, int64_t max_age_s);

#endif
