/* proxy_ssh: OpenSSH's ProxyCommand: TLS to the proxy with the user's certificate, a short request,
 * then bytes from stdin and to stdout. It starts with every ssh, so it does nothing that can wait.
 */
#include "client.h"
#include "clusters.h"
#include "connect.h"
#include "inventory.h"
#include "leaves.h"
#include "sshconfig.h"
#include "tsh.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
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
     .help = "the node's cluster, when its name does not say; the selected one unless said"},
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

/* Nothing of the connection may live on in the child: the node would not see it end. */
static _Noreturn void refresh(const struct tsh_profile *profile, int connection)
{
    setsid();
    close(connection);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; nothing >= 0 && fd <= STDERR_FILENO; fd++)
        dup2(nothing, fd);
    if (nothing >= 0)
        tsh_inventory_refresh(profile, NULL, NULL);
    _exit(0);
}

/* The list of hosts that plain ssh knows is brought up to date after the connection is there, by a
 * process that nobody waits for. */
static void refresh_later(const struct tsh_profile *profile, int connection)
{
    if (tsh_sshconfig_age_s(profile) < NODES_FRESH_S)
        return;
    tsh_sshconfig_claim(profile);
    if (fork() == 0)
        refresh(profile, connection);
}

static rl_code run(const struct proxy_settings *s, const char *text, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    struct tsh_target target = {0};
    struct tsh_connection connection = {.fd = -1};
    char *cluster = NULL;
    if (s->home)
        setenv("TSH_HOME", s->home, 1);
    rl_code rc = tsh_profile_open(s->proxy, &profile, err);
    if (rc == RL_OK && (rc = tsh_profile_check_valid(&profile, err)) == RL_OK &&
        (rc = tsh_cluster_choose(&profile, s->cluster, &cluster, err)) == RL_OK &&
        (rc = tsh_target_parse(text, cluster, &target, err)) == RL_OK &&
        (rc = tsh_connect(&profile, "ssh", &target, &connection, err)) == RL_OK) {
        if (connection.trust_is_old)
            tsh_trust_refresh(&profile, NULL); /* ssh reads it when the node shows its key */
        if (connection.leaf_trust_is_old)
            tsh_clusters_refresh(&profile, NULL, NULL, NULL);
        refresh_later(&profile, connection.fd);
        rc = tsh_connection_relay(&connection, STDIN_FILENO, STDOUT_FILENO, err);
    }
    tsh_connection_close(&connection);
    tsh_target_fini(&target);
    free(cluster);
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
