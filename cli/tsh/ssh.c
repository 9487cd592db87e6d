/* ssh: `tsh ssh` and `tsh scp`: the stock programs with our configuration, after what can be known
 * before was checked: are we logged in, is there such a node?
 */
#include "client.h"
#include "inventory.h"
#include "leaves.h"
#include "status/memory.h"
#include "target.h"
#include "tsh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 100000 /* the system's own limit is in bytes */
#define EXIT_NOT_CONNECTED 255

struct ssh_settings {
    char *cluster, *login, *proxy, *port;
    struct rl_text_list local, remote, dynamic, options;
    bool agent, tty, no_command;
};

#define AT(field) offsetof(struct ssh_settings, field)
static const struct rl_setting rows[] = {
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .environment = "TSH_CLUSTER",
     .help = "the node's cluster; the selected one unless said"},
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .help = "the profile of this proxy; the last one unless said"},
    {.name = "login",
     .letter = 'l',
     .type = RL_SETTING_TEXT,
     .offset = AT(login),
     .help = "the operating-system user there; your own name unless said"},
    {.name = "forward-agent",
     .letter = 'A',
     .type = RL_SETTING_SWITCH,
     .offset = AT(agent),
     .fallback = "no",
     .help = "let the node use your ssh-agent"},
    {.name = "tty",
     .letter = 't',
     .type = RL_SETTING_SWITCH,
     .offset = AT(tty),
     .fallback = "no",
     .help = "a terminal, for a command too"},
    {.name = "no-command",
     .letter = 'N',
     .type = RL_SETTING_SWITCH,
     .offset = AT(no_command),
     .fallback = "no",
     .help = "run nothing: for forwarding"},
    {.name = "local-forward",
     .letter = 'L',
     .type = RL_SETTING_LIST,
     .offset = AT(local),
     .keeps_commas = true,
     .help = "as ssh -L"},
    {.name = "remote-forward",
     .letter = 'R',
     .type = RL_SETTING_LIST,
     .offset = AT(remote),
     .keeps_commas = true,
     .help = "as ssh -R"},
    {.name = "dynamic-forward",
     .letter = 'D',
     .type = RL_SETTING_LIST,
     .offset = AT(dynamic),
     .keeps_commas = true,
     .help = "as ssh -D"},
    {.name = "option",
     .letter = 'o',
     .type = RL_SETTING_LIST,
     .offset = AT(options),
     .keeps_commas = true,
     .help = "as ssh -o"},
};

const struct rl_settings_spec tsh_ssh_spec = {
    .program = "tsh ssh",
    .summary = "a shell or a command on a node, by stock OpenSSH",
    .usage = "[flags] [LOGIN@]NODE|UUID|LABEL=VALUE [COMMAND ...]",
    .example = "tsh ssh root@node-r1 hostname",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = ARGUMENTS_MAX,
    .stop_at_positional = true,
};

/* What another program is started with; ends with NULL. */
struct arguments {
    char **items; /* heap, each heap */
    size_t count;
};

/* Takes heap text. */
static void add(struct arguments *a, char *text)
{
    char **items = reallocarray(a->items, a->count + 2, sizeof *items);
    RL_NEED_MEMORY(items, 0);
    a->items = items;
    items[a->count++] = text;
    items[a->count] = NULL;
}

static void add_list(struct arguments *a, const char *flag, const struct rl_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        add(a, rl_strdup(flag));
        add(a, rl_strdup(list->items[i]));
    }
}

static void begin(struct arguments *a, const char *program, const struct tsh_profile *profile)
{
    add(a, rl_strdup(program));
    add(a, rl_strdup("-F"));
    add(a, rl_sprintf("%s/ssh_config", profile->home));
}

static void free_arguments(struct arguments *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->items[i]);
    free(a->items);
}

/* 128+n where ssh was ended by a signal, its own status otherwise. */
static int run(struct arguments *a)
{
    pid_t pid = fork();
    if (pid == 0) {
        execvp(a->items[0], a->items);
        fprintf(stderr, "tsh: %s: %s\n", a->items[0], strerror(errno));
        _exit(EXIT_NOT_CONNECTED);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0)
        return EXIT_NOT_CONNECTED;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What the person wrote, as a host of our configuration; *login too, where it is said. */
static rl_code resolve(const struct tsh_profile *profile, const struct ssh_settings *s,
                       const char *text, char **login, char **host, struct rl_error *err)
{
    struct tsh_nodes nodes = {0};
    const struct tsh_node *node = NULL;
    char *cluster = NULL, *target = NULL;
    rl_code rc = tsh_cluster_choose(profile, s->cluster, &cluster, err);
    if (rc == RL_OK) {
        tsh_target_split(text, login, &cluster, &target);
        rc = tsh_inventory_list(profile, cluster, NULL, NULL, 0, &nodes, err);
    }
    if (rc == RL_OK && (rc = tsh_inventory_pick(&nodes, target, &node, err)) == RL_OK)
        rc = tsh_inventory_host(node, cluster, host, err);
    tsh_nodes_fini(&nodes);
    free(cluster);
    free(target);
    return rc;
}

static int connect_to(struct ssh_settings *s, const struct tsh_profile *profile, const char *host,
                      const struct rl_positionals *rest)
{
    struct arguments a = {0};
    begin(&a, "ssh", profile);
    if (s->login) {
        add(&a, rl_strdup("-l"));
        add(&a, rl_strdup(s->login));
    }
    if (s->agent)
        add(&a, rl_strdup("-A"));
    if (s->tty)
        add(&a, rl_strdup("-t"));
    if (s->no_command)
        add(&a, rl_strdup("-N"));
    add_list(&a, "-L", &s->local);
    add_list(&a, "-R", &s->remote);
    add_list(&a, "-D", &s->dynamic);
    add_list(&a, "-o", &s->options);
    add(&a, rl_strdup("--"));
    add(&a, rl_strdup(host));
    for (size_t i = 1; i < rest->count; i++)
        add(&a, rl_strdup(rest->items[i]));
    int code = run(&a);
    free_arguments(&a);
    return code;
}

int tsh_ssh(int argc, char **argv)
{
    struct ssh_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    struct tsh_profile profile = {0};
    char *host = NULL;
    rl_code rc = rl_settings_read(&tsh_ssh_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && rest.count == 0)
        rc = rl_fail(&err, RL_E_INVAL, "which node? tsh ssh NODE");
    if (rc != RL_OK) {
        rl_settings_free(&tsh_ssh_spec, &s);
        return tsh_usage(rc, &err);
    }
    int code = RL_EXIT_DONE;
    if ((rc = tsh_profile_open(s.proxy, &profile, &err)) == RL_OK &&
        (rc = tsh_profile_check_valid(&profile, &err)) == RL_OK)
        rc = resolve(&profile, &s, rest.items[0], &s.login, &host, &err);
    if (rc == RL_OK)
        code = connect_to(&s, &profile, host, &rest);
    else
        code = rc == RL_E_UNAVAILABLE || rc == RL_E_DEADLINE ? (tsh_fail(&err), EXIT_NOT_CONNECTED)
                                                             : tsh_fail(&err);
    free(host);
    tsh_profile_fini(&profile);
    rl_settings_free(&tsh_ssh_spec, &s);
    return code;
}

const struct rl_settings_spec tsh_scp_spec = {
    .program = "tsh scp",
    .summary = "copy files to and from nodes, by stock OpenSSH",
    .usage = "[scp's flags] SOURCE ... TARGET",
    .example = "tsh scp notes.txt node-r1:/tmp/",
};

/* scp's own arguments are passed on as they are: HOST: is looked up by OpenSSH in our file. */
int tsh_scp(int argc, char **argv)
{
    rl_code rc;
    struct rl_error err;
    struct tsh_profile profile = {0};
    if (argc < 2 || strncmp(argv[1], "--help", strlen("--help")) == 0) {
        rc = rl_settings_read(&tsh_scp_spec, argc, argv, NULL, NULL, &err);
        return rc == RL_OK
                   ? tsh_usage(rl_fail(&err, RL_E_INVAL, "copy what where? see --help"), &err)
                   : tsh_usage(rc, &err);
    }
    rc = tsh_profile_open(NULL, &profile, &err);
    if (rc == RL_OK)
        rc = tsh_profile_check_valid(&profile, &err);
    int code;
    if (rc == RL_OK) {
        struct arguments a = {0};
        begin(&a, "scp", &profile);
        for (int i = 1; i < argc; i++)
            add(&a, rl_strdup(argv[i]));
        code = run(&a);
        free_arguments(&a);
    } else {
        code = tsh_fail(&err);
    }
    tsh_profile_fini(&profile);
    return code;
}
