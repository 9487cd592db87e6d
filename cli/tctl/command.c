/* command: what every command does before and after its own work. */
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tctl_fail(const struct rl_error *err)
{
    return rl_output_fail("tctl", err);
}

int tctl_usage(rl_code code, const struct rl_error *err)
{
    return rl_output_usage("tctl", code, err);
}

int tctl_run(const struct tctl_command *command, int argc, char **argv)
{
    struct tctl_client client = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    void *settings = rl_alloc(command->bytes);
    rl_code rc = rl_settings_read(command->spec, argc, argv, settings, &rest, &err);
    if (rc == RL_OK && rest.count < command->positional_min)
        rc = rl_fail(&err, RL_E_INVAL, "%s; see %s --help", command->missing,
                     command->spec->program);
    if (rc == RL_OK && command->check)
        rc = command->check(settings, &err);
    int code = rc == RL_OK ? RL_EXIT_DONE : tctl_usage(rc, &err);
    if (rc == RL_OK) {
        rc = tctl_open(&client, &err);
        if (rc == RL_OK)
            rc = command->work(&client, settings, &rest, &err);
        if (rc != RL_OK)
            code = tctl_fail(&err);
        tctl_close(&client);
    }
    rl_settings_free(command->spec, settings);
    free(settings);
    return code;
}

int tctl_run_group(const struct tctl_group *group, int argc, char **argv)
{
    const struct tctl_subcommand *commands = group->commands;
    for (size_t i = 0; argc > 1 && i < group->count; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return tctl_run(commands[i].command, argc - 1, argv + 1);
    bool is_help = argc > 1 && strcmp(argv[1], "--help") == 0;
    FILE *to = is_help ? stdout : stderr;
    if (argc > 1 && !is_help)
        fprintf(to, "tctl: no such command: %s %s\n", group->name, argv[1]);
    fprintf(to, "usage: tctl %s COMMAND [flags]\n\n", group->name);
    for (size_t i = 0; i < group->count; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\nexample: %s\n", commands[0].command->spec->example);
    return is_help ? RL_EXIT_DONE : RL_EXIT_USAGE;
}

rl_code tctl_format(const char *name, enum rl_format *out, struct rl_error *err)
{
    *out = RL_FORMAT_TEXT;
    return name ? rl_format_parse(name, out, err) : RL_OK;
}
