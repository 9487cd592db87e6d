/* start: `remoteler start`: joins if it must, then connects the rooms and runs the loop. */
#include "admission.h"
#include "agent.h"
#include "bytes/secret.h"
#include "carry.h"
#include "direct.h"
#include "events.h"
#include "log/log.h"
#include "names/names.h"
#include "netwatch.h"
#include "node.h"
#include "output/output.h"
#include "policy_keeper.h"
#include "recordings.h"
#include "resource/resource.h"
#include "status.h"
#include "uplink.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOIN_TIMEOUT_MS 30000
#define JOIN_RETRY_MS_MIN 1000
#define JOIN_RETRY_MS_MAX 30000
#define EVENTS_GRACE_MS 2000
#define SESSIONS_GRACE_MS 2000 /* to tell their users, and us how they ended */
/* Free at the end of the heap, before the kernel gets it back: buffers of the data path come and
 * go, and a heap that shrinks and grows with them costs system calls and page faults. */
#define HEAP_KEPT_BYTES (1 << 20)
#define CLOCK_APART_S 60 /* what is worth a word */
#define BUILD_TIME_FLOOR_NS                                                                        \
    INT64_C(1763769600000000000) /* 2025-11-22: no clock is right before                           \
                                  */

/* ---- joining ---- */

static void on_changed(void *context)
{
    struct agent *agent = context;
    struct rl_error err;
    rl_code rc = agent->uplink ? uplink_reload(agent->uplink, &err) : RL_OK;
    if (rc == RL_OK && agent->direct)
        rc = direct_reload(agent->direct, &err);
    if (rc == RL_OK)
        rc = events_reload(agent, &err);
    if (rc != RL_OK)
        rl_log_error("a renewed certificate can not be used", RL_TEXT("reason", err.message));
    else
        rl_log_info("certificates renewed",
                    RL_NUMBER("generation", rl_enrol_generation(agent->enrol)));
}

static void on_trouble(void *context, rl_code code, const char *message)
{
    const struct agent *agent = context;
    if (rl_enrol_has_expired(agent->enrol))
        rl_log_error("the certificate has expired and could not be renewed; if that stays so, "
                     "start once with --token= a new token (tctl tokens add --type=node) to join "
                     "again under the same id",
                     RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    else
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

static void wake_up(void *context)
{
    *(bool *)context = true;
}

/* As a container's first process it would not be ended by a signal that nobody handles. */
static rl_code wait_to_join(struct agent *agent, uint32_t wait_ms, struct rl_error *err)
{
    bool is_over = false;
    struct rl_timer *timer = rl_timer_create(agent->loop, wake_up, &is_over);
    rl_timer_arm(timer, wait_ms);
    while (!is_over && !agent->is_stopping)
        rl_loop_turn(agent->loop, -1);
    rl_timer_free(&timer);
    return agent->is_stopping ? rl_fail(err, RL_E_CANCELLED, "stopped before it could join")
                              : RL_OK;
}

static rl_code join(struct agent *agent, struct rl_error *err)
{
    char *token = NULL;
    rl_code rc = agent_read_token(agent->settings.token, &token, err);
    if (rc != RL_OK)
        return rc;
    uint32_t wait_ms = JOIN_RETRY_MS_MIN;
    while ((rc = rl_enrol_join(agent->enrol, token, JOIN_TIMEOUT_MS, err)) == RL_E_UNAVAILABLE ||
           rc == RL_E_DEADLINE) {
        rl_log_warn("can not join yet; trying again", RL_TEXT("reason", err->message),
                    RL_NUMBER("in_ms", wait_ms));
        rc = wait_to_join(agent, wait_ms, err);
        if (rc != RL_OK)
            break;
        wait_ms = wait_ms * 2 > JOIN_RETRY_MS_MAX ? JOIN_RETRY_MS_MAX : wait_ms * 2;
    }
    rl_wipe_text(&token);
    rl_wipe_text(&agent->settings.token); /* sessions are forked: they shall not have it */
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

static void on_heard_time(void *context, int64_t time_ns)
{
    struct agent *agent = context;
    int64_t ahead_s = (rl_clock_wall_ns() - time_ns) / 1000000000;
    rl_trusted_clock_learn(&agent->clock, time_ns);
    if (ahead_s > CLOCK_APART_S || ahead_s < -CLOCK_APART_S)
        rl_log_warn("this machine's clock is wrong; auth's time counts here",
                    RL_NUMBER("ahead_s", ahead_s));
}

/* It was off for longer than its certificate lives: auth renews it for a while still, and after
 * that knows its key, so that a new token gives it its old id back. If that is refused too it goes
 * on: to say so, and to try again. */
static void come_back(struct agent *agent)
{
    struct rl_error err;
    uint64_t generation = rl_enrol_generation(agent->enrol);
    rl_code rc = rl_enrol_return(agent->enrol, JOIN_TIMEOUT_MS, &err);
    if (rc == RL_OK && rl_enrol_generation(agent->enrol) != generation)
        rl_log_info("the certificate had expired; auth renewed it",
                    RL_TEXT("id", rl_enrol_id(agent->enrol)));
    if (rc == RL_OK)
        return;
    on_trouble(agent, rc, err.message);
    bool is_refused = rc != RL_E_UNAVAILABLE && rc != RL_E_DEADLINE;
    if (is_refused && agent->settings.token && join(agent, &err) != RL_OK)
        rl_log_error("joining again was refused", RL_TEXT("reason", err.message));
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
        .in_memory = agent->in_memory,
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
        .http_proxy = agent->http_proxy,
        .changed = on_changed,
        .trouble = on_trouble,
        .heard_time = on_heard_time,
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
    else if (rc == RL_OK && rl_enrol_has_expired(agent->enrol))
        come_back(agent);
    if (rc == RL_OK)
        rl_enrol_keep(agent->enrol);
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
    rc = events_open(agent, err);
    if (rc == RL_OK)
        agent->recordings = recordings_create(agent);
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
    carry_stop(agent); /* after the streams: they have parked their ends */
    direct_free(&agent->direct);
    recordings_free(&agent->recordings, EVENTS_GRACE_MS); /* calls the node */
    node_free(&agent->node);
    admission_free(&agent->admission);
    events_close(agent, EVENTS_GRACE_MS);
    policy_keeper_free(&agent->policy);
    rl_enrol_close(&agent->enrol);
    rl_http_proxy_free(&agent->http_proxy);
    rl_labels_free(&agent->labels, agent->label_count);
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
    agent->is_stopping = true;
    if (!agent->node)
        return; /* it still joins */
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
    rl_code rc = rl_loop_on_signals(agent->loop, signals, RL_COUNT(signals), on_signal, agent, err);
    if (rc == RL_OK)
        rc = open_identity(agent, err);
    if (rc == RL_OK)
        rc = open_rooms(agent, err);
    if (rc == RL_OK && agent->is_stopping)
        rc = rl_fail(err, RL_E_CANCELLED, "stopped while it started");
    if (rc != RL_OK)
        return rc;
    if (!agent->settings.seccomp)
        rl_log_warn("--no-seccomp: the system calls of what faces the network are not filtered");
    if (agent->is_unprivileged)
        rl_log_warn("not root: only the user that runs this agent can be logged in as");
    if (netwatch_create(agent->loop, on_network_changed, agent, &netwatch, err) != RL_OK)
        rl_log_warn("going on without", RL_TEXT("reason", err->message));
    agent_rest_begin(agent);
    rl_loop_run(agent->loop);
    rl_timer_free(&agent->rest);
    node_wait(agent->node, SESSIONS_GRACE_MS);
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
    agent->descriptors_max = rl_descriptors_raise();
    rl_log_debug("descriptors", RL_NUMBER("max", agent->descriptors_max));
    rc = agent_choose(agent, err);
    return rc == RL_OK ? rl_loop_create(&agent->loop, err) : rc;
}

int agent_start(int argc, char **argv)
{
    struct agent agent = {0};
    struct rl_error err;
    struct rl_positionals rest = {0};
    rl_code rc = rl_settings_read(&agent_start_spec, argc, argv, &agent.settings, &rest, &err);
    if (rc != RL_OK)
        return rl_output_usage("remoteler", rc, &err);
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    rc = prepare(&agent, &err);
    if (rc == RL_OK)
        rc = run(&agent, &err);
    if (rc != RL_OK)
        rl_output_say("remoteler: %s", err.message);
    close_rooms(&agent);
    rl_loop_free(&agent.loop);
    return rc == RL_OK || rc == RL_E_CANCELLED ? 0 : 1;
}
