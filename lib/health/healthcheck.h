/* healthcheck: `PROGRAM --healthcheck`: the program asks the one that runs beside it, as the
 * HEALTHCHECK of an image does, which has no other program to ask with.
 */
#ifndef RL_HEALTH_HEALTHCHECK_H
#define RL_HEALTH_HEALTHCHECK_H

#include "settings/settings.h"

#define RL_HEALTHCHECK_FLAG "--healthcheck"
#define RL_HEALTHCHECK_TIMEOUT_MS 3000

/** GET /readyz of a health listener; a wildcard is asked on loopback. Errors: RL_E_UNAVAILABLE
 * nobody answers, or what answers is no health listener; RL_E_PRECONDITION it is not ready, with
 * what it waits for on one line; RL_E_INVAL no address, or port 0. */
rl_code rl_health_ask(const char *address, struct rl_error *err);

/** The command: reads the program's own settings from flags, environment and file, as far as they
 * are given, and asks. `address` points into `settings`, which the table fills. Gives the exit
 * status: 0 ready, 1 not, 2 wrong usage. argv[1] is the flag. */
int rl_healthcheck(const struct rl_settings_spec *spec, void *settings, char *const *address,
                   int argc, char **argv);
bool rl_healthcheck_is_asked(int argc, char **argv);

#endif
