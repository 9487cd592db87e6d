#include "about/about.h"
#include "tsh.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"login", tsh_login, "log in to a cluster"},
    {"logout", tsh_logout, "forget this login"},
    {"signup", tsh_signup, "redeem an invitation"},
    {"passwd", tsh_passwd, "change your password"},
    {"status", tsh_status, "who you are and until when"},
    {"clusters", tsh_clusters, "the clusters that you may reach"},
    {"ls", tsh_ls, "the nodes that you may see"},
    {"ssh", tsh_ssh, "a shell or a command on a node"},
    {"scp", tsh_scp, "copy files to and from nodes"},
    {"config", tsh_config, "the OpenSSH configuration for your nodes"},
    {"proxy", NULL, "proxy ssh NODE: a byte stream for OpenSSH's ProxyCommand"},
    {"recordings", NULL, "recordings ls: the recorded sessions"},
    {"play", tsh_play, "what a recorded session showed"},
    {"sessions", NULL, "sessions ls: the live sessions"},
    {"join", tsh_join, "watch a live session"},
    {"version", tsh_version, "which version this is"},
    {"completion", tsh_completion, "complete commands and flags: bash, zsh or fish"},
};

static const struct rl_settings_spec version_spec = RL_ABOUT_VERSION_SPEC("tsh", 1);
static const struct rl_settings_spec completion_spec = RL_ABOUT_COMPLETION_SPEC("tsh", 1);

static const struct rl_settings_spec *const specs[] = {
    &tsh_login_spec,  &tsh_logout_spec,      &tsh_signup_spec,    &tsh_passwd_spec,
    &tsh_status_spec, &tsh_clusters_spec,    &tsh_ls_spec,        &tsh_ssh_spec,
    &tsh_scp_spec,    &tsh_config_spec,      &tsh_proxy_ssh_spec, &tsh_recordings_ls_spec,
    &tsh_play_spec,   &tsh_sessions_ls_spec, &tsh_join_spec,      &version_spec,
    &completion_spec,
};
static const struct rl_program program = {
    .name = "tsh",
    .summary = "log in to a cluster, and reach its machines with plain ssh",
    .commands = specs,
    .count = RL_COUNT(specs),
};

int tsh_version(int argc, char **argv)
{
    return rl_about_version(&version_spec, "tsh", argc, argv);
}

int tsh_completion(int argc, char **argv)
{
    return rl_about_completion(&completion_spec, &program, argc, argv);
}

static int usage(FILE *to)
{
    fputs("usage: tsh COMMAND [flags]\n\n", to);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\n`tsh COMMAND --help` says more.\n"
          "example: tsh login --proxy=root.example.com:443 && ssh node-a\n",
          to);
    return to == stdout ? RL_EXIT_DONE : RL_EXIT_USAGE;
}

/* Those of two words. */
static const struct {
    const char *group, *word;
    int (*run)(int argc, char **argv);
    const char *usage;
} subcommands[] = {
    {"proxy", "ssh", tsh_proxy_ssh, "proxy ssh NODE"},
    {"recordings", "ls", tsh_recordings_ls, "recordings ls"},
    {"sessions", "ls", tsh_sessions_ls, "sessions ls"},
};

/* -1: there is no such group. */
static int run_subcommand(int argc, char **argv)
{
    for (size_t i = 0; i < RL_COUNT(subcommands); i++) {
        if (strcmp(argv[1], subcommands[i].group) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], subcommands[i].word) == 0)
            return subcommands[i].run(argc - 2, argv + 2);
        fprintf(stderr, "tsh: this version knows `tsh %s`\n", subcommands[i].usage);
        return RL_EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    mallopt(M_MXFAST, 0); /* as auth: a list is many small pieces beside a few large ones */
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (rl_program_show(&program, argc, argv))
        return RL_EXIT_DONE;
    int status = run_subcommand(argc, argv);
    if (status >= 0)
        return status;
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (commands[i].run && strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    rl_output_say("tsh: no such command: %s", argv[1]);
    return usage(stderr);
}
