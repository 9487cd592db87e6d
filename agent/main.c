/* main: one binary, several roles. The rooms of the SSH server are fresh images of this same file,
 * told apart by the name that they are run under.
 */
#include "about/about.h"
#include "agent.h"
#include "sshd/transport/transport.h"

#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"start", agent_start, "serve this machine"},
    {"status", agent_status, "what the agent that runs here is doing"},
    {"configure", agent_configure, "print the settings of start as a file"},
    {"install", agent_install, "make the agent a service of this machine"},
    {"version", agent_version, "which version this is"},
    {"completion", agent_completion, "complete commands and flags: bash, zsh or fish"},
};

static const struct rl_settings_spec version_spec = RL_ABOUT_VERSION_SPEC("remoteler", 8);
static const struct rl_settings_spec completion_spec = RL_ABOUT_COMPLETION_SPEC("remoteler", 8);

static const struct rl_settings_spec *const specs[] = {&agent_start_spec,     &agent_status_spec,
                                                       &agent_configure_spec, &agent_install_spec,
                                                       &version_spec,         &completion_spec};
static const struct rl_program program = {
    .name = "remoteler",
    .summary = "the agent: serves this machine to its cluster",
    .commands = specs,
    .count = RL_COUNT(specs),
    .section = 8,
};

int agent_version(int argc, char **argv)
{
    return rl_about_version(&version_spec, "remoteler", argc, argv);
}

int agent_completion(int argc, char **argv)
{
    return rl_about_completion(&completion_spec, &program, argc, argv);
}

static int usage(FILE *to)
{
    fputs("usage: remoteler COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\n`remoteler COMMAND --help` says more.\n"
          "example: remoteler start --proxy=root.example.com:443 --token=@token\n",
          to);
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    int status = 0;
    if (rl_sshd_room(argc, argv, &status))
        return status;
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (rl_program_show(&program, argc, argv))
        return 0;
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "remoteler: no such command: %s\n", argv[1]);
    return usage(stderr);
}
