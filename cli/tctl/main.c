#include "tctl.h"

#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"status", tctl_status, "the cluster: services, agents, pin"},
    {"users", tctl_users, "add, ls, update, reset, rm"},
    {"tokens", tctl_tokens, "add, ls, rm"},
    {"nodes", tctl_nodes, "ls"},
    {"get", tctl_get, "documents: role, user, token, node, lock, ca, cluster_config"},
    {"create", tctl_create, "make or replace what a file says"},
    {"edit", tctl_edit, "change one in your editor"},
    {"rm", tctl_rm, "remove one"},
    {"auth", tctl_auth, "export"},
    {"audit", tctl_audit, "search"},
    {"inventory", tctl_inventory, "ls: every agent and service"},
    {"version", tctl_version, "which version this is"},
};

int tctl_version(int argc, char **argv)
{
    struct rl_error err;
    enum rl_format format = RL_FORMAT_TEXT;
    if (argc > 1 && strncmp(argv[1], "--format=", 9) == 0 &&
        rl_format_parse(argv[1] + 9, &format, &err) != RL_OK)
        return tctl_usage(err.code, &err);
    return rl_output_version(stdout, format, "tctl", &err) == RL_OK ? RL_EXIT_DONE
                                                                    : tctl_fail(&err);
}

static int usage(FILE *to)
{
    fputs("usage: tctl COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\n`tctl COMMAND --help` says more.\nexample: tctl users add alice --roles=access\n", to);
    return to == stdout ? RL_EXIT_DONE : RL_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "tctl: no such command: %s\n", argv[1]);
    return usage(stderr);
}
