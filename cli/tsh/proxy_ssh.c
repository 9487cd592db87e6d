/* proxy_ssh: OpenSSH's ProxyCommand: TLS to the proxy with the user's certificate, a short request,
 * then bytes from stdin and to stdout. It starts with every ssh, so it does nothing that can wait.
 */
#include "client.h"
#include "connect.h"
#include "inventory.h"
#include "names/names.h"
#include "sshconfig.h"
#include "tsh.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES_FRESH_S 60

struct proxy_settings {
    char *proxy, *home, *cluster;
};

#define AT(field) offsetof(struct proxy_settings, field)
static const struct rl_setting rows[] = {
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .help = "the profile of this proxy; the last one unless said"},
    {.name = "home", .type = RL_SETTING_FILE, .offset = AT(home), .help = "TSH_HOME"},
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .environment = "TSH_CLUSTER",
     .help = "the node's cluster, when its name does not say"},
};

const struct rl_settings_spec tsh_proxy_ssh_spec = {
    .program = "tsh proxy ssh",
    .summary = "a byte stream to a node's SSH server, for OpenSSH's ProxyCommand",
    .usage = "[flags] [LOGIN@]NODE[:PORT]",
    .example = "ssh -o ProxyCommand='tsh proxy ssh %n:%p' node-r1",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 1,
};

/* "LOGIN@NODE.CLUSTER:PORT" apart; the name is checked again: it came through a shell. */
static rl_code split_target(const char *text, const char *own_cluster, struct tsh_target *out,
                            struct rl_error *err)
{
    const char *at = strrchr(text, '@');
    char *node = rl_strdup(at ? at + 1 : text);
    char *colon = strrchr(node, ':');
    rl_code rc = RL_OK;
    *out = (struct tsh_target){.port = 22};
    if (colon) {
        char *end = NULL;
        long port = strtol(colon + 1, &end, 10);
        if (*end || port < 1 || port > 65535)
            rc = rl_fail(err, RL_E_INVAL, "\"%s\" is not a port", colon + 1);
        out->port = (uint16_t)port;
        *colon = '\0';
    }
    char *dot = strchr(node, '.');
    if (rc == RL_OK && dot) {
        if (strcmp(dot + 1, own_cluster) != 0)
            rc = rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%.255s\"; this is %s", dot + 1,
                         own_cluster);
        *dot = '\0';
    }
    if (rc == RL_OK && rl_name_check_node(node, NULL) != RL_OK && !rl_name_is_uuid(node))
        rc = rl_fail(err, RL_E_INVAL, "\"%.64s\" is not the name or id of a node", node);
    if (rc == RL_OK)
        out->name = node;
    else
        free(node);
    return rc;
}

/* The list of hosts that plain ssh knows is brought up to date after the connection is there, by a
 * process that nobody waits for. */
static void refresh_later(const struct tsh_profile *profile)
{
    if (tsh_sshconfig_age_s(profile) < NODES_FRESH_S || fork() != 0)
        return;
    setsid();
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    tsh_inventory_refresh(profile, NULL);
    _exit(0);
}

static rl_code run(const struct proxy_settings *s, const char *text, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    struct tsh_target target = {0};
    struct tsh_connection connection = {0};
    if (s->home)
        setenv("TSH_HOME", s->home, 1);
    rl_code rc = tsh_profile_open(s->proxy, &profile, err);
    if (rc == RL_OK && (rc = tsh_profile_check_valid(&profile, err)) == RL_OK &&
        (rc = split_target(text, tsh_profile_text(&profile, "cluster"), &target, err)) == RL_OK &&
        (rc = tsh_connect(&profile, "ssh", &target, &connection, err)) == RL_OK) {
        refresh_later(&profile);
        rc = tsh_connection_relay(&connection, STDIN_FILENO, STDOUT_FILENO, err);
    }
    tsh_connection_close(&connection);
    free(target.name);
    tsh_profile_fini(&profile);
    return rc;
}

int tsh_proxy_ssh(int argc, char **argv)
{
    struct proxy_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&tsh_proxy_ssh_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && rest.count != 1)
        rc = rl_fail(&err, RL_E_INVAL, "which node? tsh proxy ssh NODE");
    if (rc != RL_OK) {
        rl_settings_free(&tsh_proxy_ssh_spec, &s);
        return tsh_usage(rc, &err);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    rc = run(&s, rest.items[0], &err);
    rl_settings_free(&tsh_proxy_ssh_spec, &s);
    return rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
}
