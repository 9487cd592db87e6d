/* program: the main() of a service that is a member: what it can be asked on its command line, and
 * its exit status.
 */
#ifndef RL_MEMBER_PROGRAM_H
#define RL_MEMBER_PROGRAM_H

#include "settings/settings.h"

struct rl_member_program {
    const struct rl_settings_spec *spec;
    void *settings;             /* which `spec` fills */
    char *const *health_listen; /* in them */
    /* Until the service has stopped. Errors: RL_E_INVAL a setting is wrong; RL_E_CANCELLED it was
     * stopped before it served. */
    rl_code (*run)(void *context, struct rl_error *err);
    /* Frees everything, the settings too: whatever `run` came to, also when it was not called. */
    void (*finish)(void *context);
    void *context;
};

/** `--healthcheck`, `version`, or the service. Gives the exit status: 0 it did what was asked, 2
 * wrong usage or a wrong setting, else 1; why is said on stderr. */
int rl_member_main(const struct rl_member_program *program, int argc, char **argv);

#endif
