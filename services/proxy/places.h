/* places: where targets were when auth said so last, for when auth can not be asked. A place is one
 * user's: what another was told is nobody else's business. The far end decides all the same.
 */
#ifndef PROXY_PLACES_H
#define PROXY_PLACES_H

#include "remoteler/v1/control.pb-c.h"
#include "status/status.h"

#include <stdint.h>

#define PLACES_MAX 4096    /* the oldest goes */
#define PLACES_AGE_S 86400 /* older is forgotten */

struct places;
struct places *places_create(void);
void places_free(struct places **places);
void places_put(struct places *places, const char *user, const char *target,
                const Pb__ResolveTargetResponse *where, int64_t now_s);
/** Auth says that it is not there, or not for this user. */
void places_forget(struct places *places, const char *user, const char *target);
/** A copy, or NULL. Owns: by pb__resolve_target_response__free_unpacked(). */
Pb__ResolveTargetResponse *places_get(const struct places *places, const char *user,
                                      const char *target, int64_t now_s);

#endif
