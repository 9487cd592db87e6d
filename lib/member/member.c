/* The order of a start: log and health first, so that whoever waits can see why; then the identity,
 * without which nothing else is possible; the line to auth last, when there is something to tell.
 */
#include "member/member.h"

#include "bytes/secret.h"
#include "dial/dial.h"
#include "file/file.h"
#include "log/log.h"
#include "names/names.h"
#include "peers/peers.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_BYTES_MAX 4096
#define JOIN_TIMEOUT_MS 10000
#define HEAP_KEPT_BYTES (2 << 20) /* free at the heap's end, before the kernel gets it back */

struct rl_member {
    struct rl_member_config config;
    struct rl_health *health;
    struct rl_enrol *enrol;
    struct rl_rpc_channel *channel;
    struct rl_control *control;
    struct rl_trust *listener_trust; /* NULL: no other cluster's are believed */
    uint64_t descriptors;
    bool is_stopping;
};

static void on_signal(void *context, int signal)
{
    (void)signal;
    struct rl_member *member = context;
    if (member->is_stopping)
        return;
    member->is_stopping = true;
    rl_log_info("stopping");
    if (member->control && member->config.stop)
        member->config.stop(member->config.context);
}

/* ---- identity ---- */

static rl_code make_channel(struct rl_member *member, struct rl_rpc_channel **out,
                            struct rl_error *err)
{
    struct rl_rpc_channel_config config = {
        .loop = member->config.loop,
        .address = member->config.settings->auth_control_address,
        .identity = rl_member_identity(member),
        .trust = rl_member_trust(member),
        .peer_service = "auth",
        .stay_connected = true,
    };
    return rl_rpc_channel_create_grpc(&config, out, err);
}

/* What listeners believe, with the authorities of other clusters that auth names now. True: it is
 * not what it was. */
static bool make_listener_trust(struct rl_member *member)
{
    struct rl_error err;
    struct rl_trust *trust = NULL;
    const Pb__ControlUpdate *state = rl_control_state(member->control);
    if (rl_trust_from_bundle(rl_member_bundle(member), &trust, &err) != RL_OK) {
        rl_log_error("other clusters' authorities can not be used", RL_TEXT("error", err.message));
        return false;
    }
    size_t left_out =
        rl_peers_add_to_trust(trust, member->listener_trust, state->clusters, state->n_clusters);
    if (left_out)
        rl_log_error("authorities of other clusters can not be used",
                     RL_NUMBER("authorities", left_out));
    bool has_changed = !rl_trust_is_same(trust, rl_member_listener_trust(member));
    rl_trust_unref(&member->listener_trust);
    member->listener_trust = trust;
    return has_changed;
}

static void on_renewed(void *context)
{
    struct rl_member *member = context;
    struct rl_error err;
    rl_log_info("the certificate was renewed");
    if (!member->channel)
        return;
    if (member->control)
        make_listener_trust(member);
    if (rl_rpc_channel_reload_grpc(member->channel, rl_member_identity(member),
                                   rl_member_trust(member), &err) != RL_OK)
        rl_log_error("no line to auth with the new certificate", RL_TEXT("error", err.message));
    if (member->config.renewed)
        member->config.renewed(member->config.context);
}

static void on_trouble(void *context, rl_code code, const char *message)
{
    (void)context;
    rl_log_warn("the certificate could not be renewed", RL_TEXT("code", rl_code_name(code)),
                RL_TEXT("error", message));
}

static rl_code read_token(const char *path, char token[TOKEN_BYTES_MAX], struct rl_error *err)
{
    if (!path)
        return rl_fail(
            err, RL_E_INVAL,
            "this service has not joined yet: set join-token-file to a file with a token "
            "from `tctl tokens add`");
    struct rl_buf text;
    rl_buf_init(&text, TOKEN_BYTES_MAX - 1); /* wipes what it held */
    rl_code rc = rl_file_read_private(path, &text, err);
    size_t n = text.n;
    while (n > 0 && (text.p[n - 1] == '\n' || text.p[n - 1] == '\r' || text.p[n - 1] == ' '))
        n--;
    if (rc == RL_OK && n == 0)
        rc = rl_fail(err, RL_E_INVAL, "%s is empty", path);
    if (rc == RL_OK)
        memcpy(token, text.p, n);
    token[n] = '\0';
    rl_buf_fini(&text);
    if (rc == RL_OK)
        return RL_OK;
    rl_error_prefix(err, "join-token-file");
    return RL_E_INVAL;
}

static void wake_up(void *context)
{
    *(bool *)context = true;
}

static void wait_ms(struct rl_member *member, uint32_t delay_ms)
{
    bool is_over = false;
    struct rl_timer *timer = rl_timer_create(member->config.loop, wake_up, &is_over);
    rl_timer_arm(timer, delay_ms);
    while (!is_over && !member->is_stopping)
        rl_loop_turn(member->config.loop, -1);
    rl_timer_free(&timer);
}

/* The token file is read anew at each try: it may come after us, or be replaced. */
static rl_code join(struct rl_member *member, struct rl_error *err)
{
    char token[TOKEN_BYTES_MAX];
    uint32_t delay_ms = 200;
    rl_code rc;
    for (;;) {
        rc = read_token(member->config.settings->join_token_file, token, err);
        if (rc == RL_OK)
            rc = rl_enrol_join(member->enrol, token, JOIN_TIMEOUT_MS, err);
        rl_wipe(token, sizeof token);
        if (rc != RL_E_UNAVAILABLE && rc != RL_E_DEADLINE)
            return rc;
        rl_log_warn("waiting for auth", RL_TEXT("error", err->message));
        wait_ms(member, delay_ms);
        if (member->is_stopping)
            return rl_fail(err, RL_E_CANCELLED, "stopped while waiting for auth");
        delay_ms =
            delay_ms * 2 > RL_MEMBER_JOIN_RETRY_MS_MAX ? RL_MEMBER_JOIN_RETRY_MS_MAX : delay_ms * 2;
    }
}

/* It was off for longer than its certificate lives. With a new token in its file it comes back
 * under its old id; without one it says so, and its renewals will too. */
static rl_code join_again(struct rl_member *member)
{
    struct rl_error err;
    rl_code rc = join(member, &err);
    if (rc != RL_OK && rc != RL_E_CANCELLED)
        rl_log_error("the certificate has expired: put a new token in join-token-file",
                     RL_TEXT("error", err.message));
    return rc == RL_E_CANCELLED ? rc : RL_OK;
}

/* Replicas that are started from one description have one directory: each takes the first part of
 * it that no other has, with the identity that is there. */
static rl_code open_slot(struct rl_member *member, struct rl_enrol_config *config, bool *needs_join,
                         struct rl_error *err)
{
    const struct rl_member_settings *s = member->config.settings;
    rl_code rc = RL_E_EXISTS;
    for (int64_t i = 0; rc == RL_E_EXISTS && i < s->state_slots; i++) {
        char *path = rl_sprintf("%s/%lld", s->state_dir, (long long)i);
        config->state_dir = path;
        rc = rl_enrol_open(config, needs_join, &member->enrol, err);
        free(path);
    }
    if (rc == RL_E_EXISTS)
        return rl_fail(err, RL_E_INVAL,
                       "all %lld parts of %s are in use by other processes: set a higher "
                       "--state-slots",
                       (long long)s->state_slots, s->state_dir);
    return rc;
}

static rl_code enrol(struct rl_member *member, struct rl_error *err)
{
    const struct rl_member_settings *s = member->config.settings;
    struct rl_enrol_config config = {
        .loop = member->config.loop,
        .state_dir = s->state_dir,
        .auth_address = s->auth_address,
        .ca_pin = s->ca_pin,
        .kind = member->config.kind,
        .addresses = (const char *const *)s->certificate_addresses.items,
        .address_count = s->certificate_addresses.count,
        .advertise_address = member->config.advertise_address,
        .changed = on_renewed,
        .trouble = on_trouble,
        .context = member,
    };
    bool needs_join = false;
    rl_code rc = s->state_slots ? open_slot(member, &config, &needs_join, err)
                                : rl_enrol_open(&config, &needs_join, &member->enrol, err);
    if (rc == RL_OK && needs_join)
        rc = join(member, err);
    else if (rc == RL_OK && rl_enrol_has_expired(member->enrol) &&
             join_again(member) == RL_E_CANCELLED)
        rc = rl_fail(err, RL_E_CANCELLED, "stopped while waiting for auth");
    if (rc == RL_OK)
        rl_enrol_keep(member->enrol);
    return rc;
}

/* ---- life ---- */

static rl_code set_up_log(const struct rl_member_config *config, struct rl_error *err)
{
    enum rl_log_level least;
    rl_code rc = rl_log_level_parse(config->settings->log_level, &least, err);
    if (rc == RL_OK)
        rl_log_setup(config->program, least, config->settings->log_text);
    return rc;
}

/* Buffers on the data path come and go: a heap that shrinks and grows with them costs a system call
 * and page faults for each. The second goes with the first, which ends glibc's own adjusting of
 * both.
 */
static void keep_heap(void)
{
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
}

rl_code rl_member_create(const struct rl_member_config *config, struct rl_member **out,
                         struct rl_error *err)
{
    static const int signals[] = {SIGTERM, SIGINT};
    signal(SIGPIPE, SIG_IGN);
    struct rl_member *member = rl_alloc(sizeof *member);
    member->config = *config;
    rl_code rc = set_up_log(config, err);
    member->descriptors = rl_descriptors_raise();
    rl_log_debug("descriptors", RL_NUMBER("max", member->descriptors));
    keep_heap();
    if (rc == RL_OK)
        rc = rl_loop_on_signals(config->loop, signals, RL_COUNT(signals), on_signal, member, err);
    if (rc == RL_OK)
        rc = rl_health_start(config->settings->health_listen, &member->health, err);
    if (rc != RL_OK)
        goto out;
    rl_health_need(member->health, "joined", false);
    rl_health_need(member->health, "auth", false);
    rc = enrol(member, err);
    if (rc != RL_OK)
        goto out;
    rl_health_need(member->health, "joined", true);
    rl_log_info("member of the cluster", RL_TEXT("cluster", rl_member_cluster(member)),
                RL_TEXT("id", rl_member_id(member)),
                RL_NUMBER("health_port", rl_health_port(member->health)));
    *out = member;
    member = NULL;
out:
    rl_member_free(&member);
    return rc;
}

static void on_line(void *context, const char *message)
{
    struct rl_member *member = context;
    if (message)
        rl_log_warn("the line to auth broke", RL_TEXT("error", message));
    else
        rl_log_info("the line to auth is up");
    /* Once it was ready, a service goes on without auth and stays ready. */
    if (!message)
        rl_health_need(member->health, "auth", true);
    if (member->config.line)
        member->config.line(member->config.context, message);
}

/* Authorities are being replaced. */
static void take_trust(struct rl_member *member)
{
    struct rl_error err;
    if (rl_enrol_take_trust(member->enrol, rl_control_state(member->control)->trust, &err) != RL_OK)
        rl_log_error("auth's new authorities can not be used", RL_TEXT("error", err.message));
}

static void on_changed(void *context, unsigned what)
{
    struct rl_member *member = context;
    if (what & RL_CONTROL_TRUST)
        take_trust(member);
    if ((what & RL_CONTROL_CLUSTERS) && make_listener_trust(member) && member->config.renewed)
        member->config.renewed(member->config.context);
    if (member->config.changed)
        member->config.changed(member->config.context, what);
}

static void on_describe(void *context, Pb__HeartbeatRequest *beat)
{
    struct rl_member *member = context;
    beat->draining = member->is_stopping;
    if (member->config.describe)
        member->config.describe(member->config.context, beat);
}

rl_code rl_member_start(struct rl_member *member, struct rl_error *err)
{
    rl_code rc = make_channel(member, &member->channel, err);
    if (rc != RL_OK)
        return rc;
    struct rl_control_config config = {
        .loop = member->config.loop,
        .channel = member->channel,
        .kind = member->config.kind,
        .id = rl_member_id(member),
        .describe = on_describe,
        .changed = on_changed,
        .line = on_line,
        .context = member,
    };
    member->control = rl_control_create(&config);
    if (member->is_stopping && member->config.stop)
        member->config.stop(member->config.context);
    return RL_OK;
}

void rl_member_free(struct rl_member **holder)
{
    if (!holder || !*holder)
        return;
    struct rl_member *member = *holder;
    *holder = NULL;
    rl_control_free(&member->control);
    rl_rpc_channel_free(&member->channel);
    rl_trust_unref(&member->listener_trust);
    rl_enrol_close(&member->enrol);
    rl_health_stop(&member->health);
    free(member);
}

const char *rl_member_id(const struct rl_member *member)
{
    return rl_enrol_id(member->enrol);
}

const char *rl_member_state_dir(const struct rl_member *member)
{
    return rl_enrol_state_dir(member->enrol);
}

const char *rl_member_cluster(const struct rl_member *member)
{
    return rl_enrol_cluster(member->enrol);
}

struct rl_tls_identity *rl_member_identity(const struct rl_member *member)
{
    return rl_enrol_identity(member->enrol);
}

struct rl_trust *rl_member_trust(const struct rl_member *member)
{
    return rl_enrol_trust(member->enrol);
}

struct rl_trust *rl_member_listener_trust(const struct rl_member *member)
{
    return member->listener_trust ? member->listener_trust : rl_member_trust(member);
}

const Pb__TrustBundle *rl_member_bundle(const struct rl_member *member)
{
    return rl_enrol_bundle(member->enrol);
}

uint64_t rl_member_descriptors(const struct rl_member *member)
{
    return member->descriptors;
}

struct rl_health *rl_member_health(const struct rl_member *member)
{
    return member->health;
}

struct rl_control *rl_member_control(const struct rl_member *member)
{
    return member->control;
}

char *rl_member_advertise(const char *advertise, const char *listen, uint16_t port)
{
    return advertise ? rl_strdup(advertise) : rl_listen_advertised(listen, port);
}
