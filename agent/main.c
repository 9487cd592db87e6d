/* main: one binary, several roles. The rooms of the SSH server are fresh images of this same file,
 * told apart by the name that they are run under.
 */
#include "agent.h"
#include "output/output.h"
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
    {"version", agent_version, "which version this is"},
};

int agent_version(int argc, char **argv)
{
    struct rl_error err;
    enum rl_format format = RL_FORMAT_TEXT;
    if (argc > 1 && strncmp(argv[1], "--format=", 9) == 0 &&
        rl_format_parse(argv[1] + 9, &format, &err) != RL_OK) {
        fprintf(stderr, "remoteler: %s\n", err.message);
        return 2;
    }
    return rl_output_version(stdout, format, "remoteler", &err) == RL_OK ? 0 : 1;
}

static int usage(FILE *to)
{
    fputs("usage: remoteler COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].help);
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
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "remoteler: no such command: %s\n", argv[1]);
    return usage(stderr);
}
