/* start: `remoteler start`: joins if it must, then connects the rooms and runs the loop. */
#include "admission.h"
#include "agent.h"
#include "bytes/secret.h"
#include "direct.h"
#include "log/log.h"
#include "names/names.h"
#include "netwatch.h"
#include "node.h"
#include "policy_keeper.h"
#include "resource/resource.h"
#include "status.h"
#include "uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_TIMEOUT_MS 30000
#define JOIN_RETRY_MS_MIN 1000
#define JOIN_RETRY_MS_MAX 30000
#define TOKEN_BYTES_MAX 4096
#define EVENTS_GRACE_MS 2000
#define BUILD_TIME_FLOOR_NS                                                                        \
    INT64_C(1763769600000000000) /* 2025-11-22: no clock is right before                           \
                                  */

int64_t agent_now_ns(const struct agent *agent)
{
    return rl_trusted_clock_now_ns(&agent->clock);
}

int64_t agent_now_s(void *agent)
{
    return agent_now_ns(agent) / 1000000000;
}

/* ---- settings that depend on each other ---- */

static rl_code choose_data_dir(struct agent_settings *s, struct rl_error *err)
{
    if (s->data_dir)
        return RL_OK;
    const char *home = getenv("HOME");
    if (geteuid() == 0) {
        s->data_dir = rl_strdup("/var/lib/remoteler");
    } else if (home && home[0] == '/') {
        s->data_dir = rl_sprintf("%s/.local/state/remoteler", home);
    } else {
        return rl_fail(err, RL_E_INVAL, "HOME is not set; say --data-dir");
    }
    return RL_OK;
}

static rl_code choose_name(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    if (gethostname(agent->hostname, sizeof agent->hostname - 1) != 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "the host has no name");
    if (!s->nodename) {
        char *name = rl_strdup(agent->hostname);
        name[strcspn(name, ".")] = '\0';
        s->nodename = name;
    }
    if (rl_name_check_node(s->nodename, err) != RL_OK)
        return rl_error_prefix(err, "--nodename");
    return RL_OK;
}

static rl_code choose_mode(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    if (s->auth_server) { /* the environment's proxy does not count against a flag */
        free(s->proxy);
        s->proxy = NULL;
    }
    if (!s->proxy && !s->auth_server)
        return rl_fail(err, RL_E_INVAL,
                       "say --proxy=HOST:PORT, or --auth-server=HOST:PORT for a "
                       "node that the proxy can reach by itself");
    agent->is_direct = s->auth_server != NULL;
    if (!agent->is_direct && s->listen)
        return rl_fail(err, RL_E_INVAL,
                       "--listen is for --auth-server: a tunnelled agent listens nowhere");
    if (agent->is_direct && !s->listen)
        s->listen = rl_strdup("0.0.0.0:3022");
    if (agent->is_direct && !s->advertise)
        s->advertise = rl_strdup(s->listen);
    for (size_t i = 0; i < s->roles.count; i++)
        if (strcmp(s->roles.items[i], "node") != 0)
            return rl_fail(err, RL_E_INVAL, "--roles: this version serves node, not %s",
                           s->roles.items[i]);
    return RL_OK;
}

static rl_code read_labels(struct agent *agent, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, 65536);
    const struct rl_text_list *list = &agent->settings.labels;
    for (size_t i = 0; i < list->count; i++)
        rl_buf_printf(&text, "%s%s", i ? "," : "", list->items[i]);
    rl_code rc = RL_OK;
    if (text.failed)
        rc = rl_fail(err, RL_E_INVAL, "--labels: too many");
    else if (text.n)
        rc = rl_labels_parse(rl_buf_text(&text), &agent->labels, &agent->label_count, err);
    rl_buf_fini(&text);
    return rc;
}

/* The token itself, @FILE, or - for stdin. *out is heap text. */
static rl_code read_token(const char *setting, char **out, struct rl_error *err)
{
    if (!setting)
        return rl_fail(err, RL_E_INVAL,
                       "this agent has not joined yet: say --token (`tctl tokens add` makes one)");
    if (setting[0] != '@' && strcmp(setting, "-") != 0) {
        *out = rl_strdup(setting);
        return RL_OK;
    }
    bool is_stdin = setting[0] == '-';
    int fd = is_stdin ? STDIN_FILENO : open(setting + 1, O_RDONLY | O_CLOEXEC);
    char text[TOKEN_BYTES_MAX + 1];
    ssize_t n = fd >= 0 ? read(fd, text, TOKEN_BYTES_MAX) : -1;
    if (!is_stdin && fd >= 0)
        close(fd);
    if (n < 0)
        return rl_fail_errno(err, RL_E_INVAL, "--token: reading %s", setting);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    *out = rl_strdup(text);
    rl_wipe(text, sizeof text);
    if (!(*out)[0]) {
        free(*out);
        return rl_fail(err, RL_E_INVAL, "--token: %s is empty", setting);
    }
    return RL_OK;
}

/* ---- joining ---- */

static void on_changed(void *context)
{
    struct agent *agent = context;
    struct rl_error err;
    rl_code rc = agent->uplink ? uplink_reload(agent->uplink, &err) : RL_OK;
    if (rc == RL_OK && agent->direct)
        rc = direct_reload(agent->direct, &err);
    if (rc == RL_OK && agent->audit_tls)
        rc = rl_tls_client_reload(agent->audit_tls, rl_enrol_identity(agent->enrol),
                                  rl_enrol_trust(agent->enrol), &err);
    if (rc != RL_OK)
        rl_log_error("a renewed certificate can not be used", RL_TEXT("reason", err.message));
    else
        rl_log_info("certificates renewed",
                    RL_NUMBER("generation", rl_enrol_generation(agent->enrol)));
}

static void on_trouble(void *context, rl_code code, const char *message)
{
    (void)context;
    rl_log_warn("renewing the certificate", RL_TEXT("code", rl_code_name(code)),
                RL_TEXT("reason", message));
}

/* "10.0.0.1:3022" to the host alone, for the certificate; heap text. */
static char *host_of(const char *address)
{
    char *host = NULL;
    uint16_t port = 0;
    return address && rl_address_split(address, &host, &port, NULL) == RL_OK ? host : NULL;
}

static rl_code join(struct agent *agent, struct rl_error *err)
{
    char *token = NULL;
    rl_code rc = read_token(agent->settings.token, &token, err);
    if (rc != RL_OK)
        return rc;
    uint32_t wait_ms = JOIN_RETRY_MS_MIN;
    while ((rc = rl_enrol_join(agent->enrol, token, JOIN_TIMEOUT_MS, err)) == RL_E_UNAVAILABLE ||
           rc == RL_E_DEADLINE) {
        rl_log_warn("can not join yet; trying again", RL_TEXT("reason", err->message),
                    RL_NUMBER("in_ms", wait_ms));
        usleep(wait_ms * 1000);
        wait_ms = wait_ms * 2 > JOIN_RETRY_MS_MAX ? JOIN_RETRY_MS_MAX : wait_ms * 2;
    }
    rl_wipe(token, strlen(token));
    free(token);
    if (rc == RL_OK)
        rl_log_info("joined", RL_TEXT("cluster", rl_enrol_cluster(agent->enrol)),
                    RL_TEXT("id", rl_enrol_id(agent->enrol)),
                    RL_TEXT("name", rl_enrol_name(agent->enrol)),
                    RL_TEXT("note", rl_enrol_message(agent->enrol)));
    return rc;
}

/* A device without a battery for its clock starts in the past; it was later when auth last
 * answered.
 */
static void raise_clock_floor(struct agent *agent)
{
    int64_t auth_ns = rl_enrol_auth_time_ns(agent->enrol);
    if (auth_ns > BUILD_TIME_FLOOR_NS)
        rl_trusted_clock_init(&agent->clock, auth_ns);
}

static rl_code open_identity(struct agent *agent, struct rl_error *err)
{
    static const char *const kinds[] = {"node"};
    const struct agent_settings *s = &agent->settings;
    char *host = agent->is_direct ? host_of(s->advertise) : NULL;
    const char *addresses[] = {host};
    const struct rl_enrol_config config = {
        .loop = agent->loop,
        .state_dir = s->data_dir,
        .auth_address = agent->is_direct ? s->auth_server : s->proxy,
        .through_proxy = !agent->is_direct,
        .ca_pin = s->ca_pin,
        .insecure = s->insecure,
        .kind = "agent",
        .agent_kinds = kinds,
        .agent_kind_count = RL_COUNT(kinds),
        .node_name = s->nodename,
        .hostname = agent->hostname,
        .labels = agent->labels,
        .label_count = agent->label_count,
        .unprivileged = agent->is_unprivileged,
        .addresses = addresses,
        .address_count = host ? 1 : 0,
        .advertise_address = s->advertise,
        .changed = on_changed,
        .trouble = on_trouble,
        .context = agent,
        .now_s = agent_now_s,
        .now_context = agent,
    };
    bool needs_join = false;
    rl_code rc = rl_enrol_open(&config, &needs_join, &agent->enrol, err);
    free(host);
    if (rc == RL_OK && !needs_join)
        raise_clock_floor(agent);
    if (rc == RL_OK && needs_join)
        rc = join(agent, err);
    if (rc == RL_OK)
        rl_enrol_keep(agent->enrol);
    return rc;
}

/* ---- audit ---- */

rl_code agent_open_audit(struct agent *agent, const char *address, bool through_proxy,
                         struct rl_error *err)
{
    (void)through_proxy; /* the same SNI either way: the proxy routes by it, audit ignores it */
    if (agent->audit_channel) {
        rl_rpc_channel_renew(agent->audit_channel, address);
        return RL_OK;
    }
    char *sni = rl_sprintf("audit.%s" RL_TLS_SNI_SUFFIX, rl_enrol_cluster(agent->enrol));
    const struct rl_tls_client_config tls = {
        .identity = rl_enrol_identity(agent->enrol),
        .trust = rl_enrol_trust(agent->enrol),
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "audit",
        .now_s = agent_now_s,
        .now_context = agent,
    };
    rl_code rc = rl_tls_client_create(&tls, &agent->audit_tls, err);
    free(sni);
    if (rc != RL_OK)
        return rc;
    const struct rl_rpc_channel_config channel = {
        .loop = agent->loop,
        .address = address,
        .tls = agent->audit_tls,
        .now_s = agent_now_s,
        .now_context = agent,
    };
    rc = rl_rpc_channel_create_h2(&channel, &agent->audit_channel, err);
    if (rc == RL_OK && !agent->events)
        agent->events = rl_event_sender_create(agent->loop, agent->audit_channel);
    return rc;
}

/* ---- the rooms ---- */

static rl_code make_empty_dir(const struct agent *agent, struct rl_error *err)
{
    char *path = rl_sprintf("%s/empty", agent->settings.data_dir);
    rl_code rc = RL_OK;
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        rc = rl_fail_errno(err, RL_E_INVAL, "making %s", path);
    free(path);
    return rc;
}

static rl_code open_rooms(struct agent *agent, struct rl_error *err)
{
    rl_code rc = make_empty_dir(agent, err);
    if (rc != RL_OK)
        return rc;
    agent->policy = policy_keeper_create(agent);
    agent->admission = admission_create(agent);
    /* A direct node hears where audit is from auth; until then its events wait. */
    const char *audit = agent->is_direct ? agent->settings.auth_server : agent->settings.proxy;
    rc = agent_open_audit(agent, audit, !agent->is_direct, err);
    if (rc == RL_OK)
        rc = node_create(agent, &agent->node, err);
    if (rc == RL_OK && agent->is_direct)
        rc = direct_create(agent, &agent->direct, err);
    if (rc == RL_OK)
        rc = uplink_create(agent, &agent->uplink, err);
    if (rc == RL_OK)
        rc = status_server_create(agent, &agent->status, err);
    return rc;
}

static void close_rooms(struct agent *agent)
{
    status_server_free(&agent->status);
    uplink_free(&agent->uplink);
    direct_free(&agent->direct);
    node_free(&agent->node);
    admission_free(&agent->admission);
    rl_event_sender_free(&agent->events, EVENTS_GRACE_MS);
    rl_rpc_channel_free(&agent->audit_channel);
    rl_tls_client_unref(&agent->audit_tls);
    policy_keeper_free(&agent->policy);
    rl_enrol_close(&agent->enrol);
    for (size_t i = 0; i < agent->label_count; i++)
        pb__label__free_unpacked(agent->labels[i], NULL);
    free(agent->labels);
    rl_settings_free(&agent_start_spec, &agent->settings);
}

static void on_signal(void *context, int number)
{
    struct agent *agent = context;
    if (number == SIGCHLD) {
        if (agent->node)
            node_reap(agent->node);
        return;
    }
    rl_log_info("stopping", RL_TEXT("signal", strsignal(number)));
    node_end_all(agent->node, "the node is being stopped");
    rl_loop_stop(agent->loop);
}

static void on_network_changed(void *context)
{
    struct agent *agent = context;
    uplink_probe(agent->uplink);
}

static rl_code run(struct agent *agent, struct rl_error *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGCHLD};
    struct netwatch *netwatch = NULL;
    rl_code rc = open_identity(agent, err);
    if (rc == RL_OK)
        rc = rl_loop_on_signals(agent->loop, signals, RL_COUNT(signals), on_signal, agent, err);
    if (rc == RL_OK)
        rc = open_rooms(agent, err);
    if (rc != RL_OK)
        return rc;
    if (agent->is_unprivileged)
        rl_log_warn("not root: only the user that runs this agent can be logged in as");
    if (netwatch_create(agent->loop, on_network_changed, agent, &netwatch, err) != RL_OK)
        rl_log_warn("going on without", RL_TEXT("reason", err->message));
    rl_loop_run(agent->loop);
    netwatch_free(&netwatch);
    return RL_OK;
}

static rl_code prepare(struct agent *agent, struct rl_error *err)
{
    enum rl_log_level level;
    rl_code rc = rl_log_level_parse(agent->settings.log_level, &level, err);
    if (rc != RL_OK)
        return rc;
    rl_log_setup("remoteler", level, agent->settings.log_text);
    rl_trusted_clock_init(&agent->clock, BUILD_TIME_FLOOR_NS);
    agent->is_unprivileged = geteuid() != 0;
    if ((rc = choose_mode(agent, err)) != RL_OK ||
        (rc = choose_data_dir(&agent->settings, err)) != RL_OK ||
        (rc = choose_name(agent, err)) != RL_OK || (rc = read_labels(agent, err)) != RL_OK)
        return rc;
    return rl_loop_create(&agent->loop, err);
}

int agent_start(int argc, char **argv)
{
    struct agent agent = {0};
    struct rl_error err;
    struct rl_positionals rest = {0};
    rl_code rc = rl_settings_read(&agent_start_spec, argc, argv, &agent.settings, &rest, &err);
    if (rc == RL_E_CANCELLED)
        return 0;
    if (rc != RL_OK) {
        fprintf(stderr, "remoteler: %s\n", err.message);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    rc = prepare(&agent, &err);
    if (rc == RL_OK)
        rc = run(&agent, &err);
    if (rc != RL_OK)
        fprintf(stderr, "remoteler: %s\n", err.message);
    close_rooms(&agent);
    rl_loop_free(&agent.loop);
    return rc == RL_OK ? 0 : 1;
}
