/* remoteler-auth: users, roles, tokens, certificate authorities, locks, and who is where. */
#include "bootstrap.h"
#include "health/healthcheck.h"
#include "output/output.h"
#include "run.h"
#include "settings.h"

#include <stdio.h>
#include <string.h>

static int print_version(void)
{
    struct rl_error err;
    if (rl_output_version(stdout, RL_FORMAT_TEXT, "remoteler-auth", &err) == RL_OK)
        return RL_EXIT_DONE;
    fprintf(stderr, "remoteler-auth: %s\n", err.message);
    return RL_EXIT_FAILED;
}

static int healthcheck(int argc, char **argv)
{
    struct rl_auth_settings settings = {0};
    return rl_healthcheck(&rl_auth_run_settings, &settings, &settings.health_listen, argc, argv);
}

int main(int argc, char **argv)
{
    if (rl_healthcheck_is_asked(argc, argv))
        return healthcheck(argc, argv);
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    if (strcmp(command, "bootstrap") == 0)
        return rl_bootstrap_main(argc - 1, argv + 1);
    if (strcmp(command, "run") == 0)
        return rl_run_main(argc - 1, argv + 1);
    if (strcmp(command, "version") == 0)
        return print_version();
    if (*command) {
        fprintf(stderr, "remoteler-auth: no such command: %s (bootstrap, run, version)\n", command);
        return RL_EXIT_USAGE;
    }
    return rl_run_main(argc, argv);
}
