#include "program.h"

#include "health/healthcheck.h"
#include "output/output.h"

#include <stdio.h>
#include <string.h>

static int show_version(const char *name)
{
    struct rl_error err;
    rl_code rc = rl_output_version(stdout, RL_FORMAT_TEXT, name, &err);
    return rc == RL_OK ? RL_EXIT_DONE : rl_output_fail(name, &err);
}

static int serve(const struct rl_member_program *program, int argc, char **argv)
{
    const char *name = program->spec->program;
    struct rl_error err;
    rl_code rc = rl_settings_read(program->spec, argc, argv, program->settings, NULL, &err);
    if (rc == RL_OK)
        rc = program->run(program->context, &err);
    program->finish(program->context);
    if (rc == RL_OK || rc == RL_E_CANCELLED)
        return RL_EXIT_DONE;
    rl_output_say("%s: %s", name, err.message);
    return rc == RL_E_INVAL ? RL_EXIT_USAGE : RL_EXIT_FAILED;
}

int rl_member_main(const struct rl_member_program *program, int argc, char **argv)
{
    if (rl_healthcheck_is_asked(argc, argv))
        return rl_healthcheck(program->spec, program->settings, program->health_listen, argc, argv);
    if (argc == 2 && strcmp(argv[1], "version") == 0)
        return show_version(program->spec->program);
    return serve(program, argc, argv);
}
