#include "about/about.h"
#include "tctl.h"

#include <stdio.h>
#include <string.h>

/* A command by itself, or a group of them. */
struct command {
    const char *name;
    const struct tctl_command *command;
    const struct tctl_group *group;
    const char *help;
};

static const struct command commands[] = {
    {"status", &tctl_status, NULL, "the cluster: services, agents, pin"},
    {"users", NULL, &tctl_users, "add, ls, update, reset, rm"},
    {"tokens", NULL, &tctl_tokens, "add, ls, rm"},
    {"nodes", NULL, &tctl_nodes, "ls"},
    {"get", &tctl_get, NULL,
     "documents: role, user, token, node, lock, ca, cluster_config, trusted_cluster, "
     "remote_cluster"},
    {"create", &tctl_create, NULL, "make or replace what a file says"},
    {"edit", &tctl_edit, NULL, "change one in your editor"},
    {"rm", &tctl_rm, NULL, "remove one"},
    {"lock", &tctl_lock, NULL, "stop a user, role, node, login or device"},
    {"locks", NULL, &tctl_locks, "ls, rm"},
    {"auth", NULL, &tctl_auth, "export"},
    {"audit", NULL, &tctl_audit, "search, ls, verify, export"},
    {"clusters", NULL, &tctl_clusters, "ls: leaves of this cluster, and its roots"},
    {"inventory", NULL, &tctl_inventory, "ls: every agent and service"},
};

static const struct rl_settings_spec version_spec = RL_ABOUT_VERSION_SPEC("tctl", 1);
static const struct rl_settings_spec completion_spec = RL_ABOUT_COMPLETION_SPEC("tctl", 1);

#define SPECS_MAX 64

/* Every command's table, in the order of `commands`. */
static size_t collect(const struct rl_settings_spec **specs)
{
    size_t count = 0;
    for (size_t i = 0; i < RL_COUNT(commands); i++) {
        const struct tctl_group *group = commands[i].group;
        RL_ASSERT(count + (group ? group->count : 1) + 2 <= SPECS_MAX);
        if (commands[i].command)
            specs[count++] = commands[i].command->spec;
        for (size_t j = 0; group && j < group->count; j++)
            specs[count++] = group->commands[j].command->spec;
    }
    specs[count++] = &version_spec;
    specs[count++] = &completion_spec;
    return count;
}

static int usage(FILE *to)
{
    fputs("usage: tctl COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("  version    which version this is\n"
          "  completion complete commands and flags: bash, zsh or fish\n"
          "\n`tctl COMMAND --help` says more.\nexample: tctl users add alice --roles=access\n",
          to);
    return to == stdout ? RL_EXIT_DONE : RL_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].group ? tctl_run_group(commands[i].group, argc, argv)
                                     : tctl_run(commands[i].command, argc, argv);
    rl_output_say("tctl: no such command: %s", argv[0]);
    return usage(stderr);
}

int main(int argc, char **argv)
{
    const struct rl_settings_spec *specs[SPECS_MAX];
    const struct rl_program program = {
        .name = "tctl",
        .summary = "administer a cluster: users, roles, tokens, nodes, audit",
        .commands = specs,
        .count = collect(specs),
    };
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (rl_program_show(&program, argc, argv))
        return RL_EXIT_DONE;
    if (strcmp(argv[1], "version") == 0)
        return rl_about_version(&version_spec, "tctl", argc - 1, argv + 1);
    if (strcmp(argv[1], "completion") == 0)
        return rl_about_completion(&completion_spec, &program, argc - 1, argv + 1);
    return run(argc - 1, argv + 1);
}
