/* protocol: which versions of what the parties say to each other this program speaks. One number
 * for all of docs/protocols. A message or field that others can do without does not change it; a
 * change that they can not ignore does, and the one before is spoken for one more release: so any
 * two parties that are one release apart have a version in common, whoever is the newer.
 */
#ifndef RL_PROTOCOL_H
#define RL_PROTOCOL_H

#include "status/status.h"

#include <stdint.h>

#define RL_PROTOCOL 1
#define RL_PROTOCOL_MIN 1 /* the oldest that is still spoken */

/** Is there one that both speak? `newest` and `oldest` as `who` ("the proxy") says them; 0: it says
 * nothing, and that is 1. Errors: RL_E_PRECONDITION, with which of the two is to be upgraded. Pure.
 */
rl_code rl_protocol_check(uint32_t newest, uint32_t oldest, const char *who, struct rl_error *err);

#endif
