/* hub: the poll, the sections and the watchers. Everything but the reading is on the loop. */
#include "services/hub.h"

#include "authority/issue.h"
#include "authority/rotate.h"
#include "clock/clock.h"
#include "db/cluster.h"
#include "db/peers.h"
#include "db/rotations.h"
#include "db/tokens.h"
#include "db/users.h"
#include "log/log.h"
#include "people/login.h"
#include "protocol/protocol.h"
#include "record/checkpoints.h"
#include "record/events.h"
#include "services/view.h"
#include "status/memory.h"
#include "store/listen.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_BYTES_MAX RL_RPC_MESSAGE_BYTES_MAX
#define PRUNE_MS 60000

struct watcher {
    struct watcher *next, **link;
    struct rl_auth *auth;
    struct rl_rpc_call *call;
    char kind[16];
    int64_t ticket_hour; /* that it was sent */
};

struct rl_auth_hub {
    struct rl_hub_config config;
    struct rl_timer *timer;
    struct rl_listener *listener;
    struct rl_view *view; /* the latest; NULL: none yet */
    Pb__SignedStatement *statement;
    int64_t statement_minute;
    uint64_t statement_revision;
    struct rl_buf told[RL_SECTION_COUNT]; /* as packed ControlUpdates */
    struct watcher *watchers;
    size_t watcher_count;
    bool is_reading, is_hinted, is_stopped, was_away;
    bool has_said_time;              /* that the clocks do not agree */
    uint64_t heartbeat_ms, prune_ms; /* when last */
};

const Pb__SignedStatement *rl_hub_statement(const struct rl_auth_hub *hub)
{
    return hub->statement;
}

/* ---- telling ---- */

/* A watcher that does not read is let go: it comes back and is told everything anew. */
static void send_to(struct watcher *watcher, const Pb__ControlUpdate *update)
{
    struct rl_error err;
    if (rl_rpc_send(watcher->call, &update->base, &err) == RL_OK)
        return;
    rl_log_warn("a watcher is too slow", RL_TEXT("service", watcher->kind),
                RL_TEXT("error", err.message));
    rl_rpc_cancel(watcher->call);
}

static void send_packed(struct watcher *watcher, const struct rl_buf *packed)
{
    if (packed->n == 0)
        return;
    Pb__ControlUpdate *update = pb__control_update__unpack(NULL, packed->n, packed->p);
    RL_NEED_MEMORY(update, 0); /* packed here: it is no other fault */
    send_to(watcher, update);
    pb__control_update__free_unpacked(update, NULL);
}

static void send_tickets(struct watcher *watcher, uint64_t revision)
{
    int64_t now_s = rl_clock_wall_s();
    int64_t hour = now_s / RL_TICKET_PERIOD_S;
    if (watcher->ticket_hour == hour)
        return;
    struct rl_error err;
    Pb__ControlUpdate *update = rl_message_create(&pb__control_update__descriptor);
    update->revision = revision;
    if (rl_view_fill_tickets(watcher->auth, watcher->kind, now_s, update, &err) == RL_OK) {
        send_to(watcher, update);
        watcher->ticket_hour = hour;
    } else {
        rl_log_error("no ticket keys", RL_TEXT("error", err.message));
    }
    pb__control_update__free_unpacked(update, NULL);
}

static void send_everything(struct rl_auth_hub *hub, struct watcher *watcher)
{
    if (!hub->view)
        return; /* comes with the first view */
    for (size_t i = 0; i < RL_SECTION_COUNT; i++)
        send_packed(watcher, &hub->told[i]);
    send_tickets(watcher, hub->view->snapshot->revision);
}

/* Tells a section when it is not what was told last. The revision moves with every section, so it
 * is left out of the comparison. True: there was another one before. */
static bool tell_section(struct rl_auth_hub *hub, enum rl_section section,
                         Pb__ControlUpdate *update)
{
    struct rl_buf packed;
    rl_buf_init(&packed, SECTION_BYTES_MAX);
    rl_message_pack(&update->base, &packed);
    struct rl_buf *told = &hub->told[section];
    bool has_changed = false;
    if (packed.failed) {
        rl_log_error("too much to tell services", RL_NUMBER("section", section));
    } else if (!rl_span_equal(rl_buf_span(&packed), rl_buf_span(told))) {
        has_changed = told->n > 0;
        rl_buf_clear(told);
        rl_buf_put_span(told, rl_buf_span(&packed));
        for (struct watcher *w = hub->watchers, *next; w; w = next) {
            next = w->next;
            send_packed(w, told);
        }
    }
    rl_buf_fini(&packed);
    return has_changed;
}

/* The rest is of who lives, and of time. */
static bool is_of_snapshot(enum rl_section section)
{
    return section == RL_SECTION_CUTS || section == RL_SECTION_CONFIG ||
           section == RL_SECTION_TRUST || section == RL_SECTION_CLUSTERS;
}

static void tell_view(struct rl_auth_hub *hub, bool is_same_snapshot)
{
    for (enum rl_section s = RL_SECTION_LOCKS; s < RL_SECTION_COUNT; s++) {
        if (is_same_snapshot && is_of_snapshot(s))
            continue; /* hundreds of leaves are not written out each second to be compared */
        Pb__ControlUpdate *update = rl_message_create(&pb__control_update__descriptor);
        rl_view_fill(hub->view, s, update);
        bool is_trust = s == RL_SECTION_TRUST || s == RL_SECTION_CLUSTERS || s == RL_SECTION_CONFIG;
        if (tell_section(hub, s, update) && is_trust && hub->config.trust_changed)
            hub->config.trust_changed(hub->config.context);
        pb__control_update__free_unpacked(update, NULL);
    }
    for (struct watcher *w = hub->watchers; w; w = w->next)
        send_tickets(w, hub->view->snapshot->revision);
}

/* ---- the statement: each minute, and when the policy has changed ---- */

static void tell_statement(struct rl_auth_hub *hub)
{
    Pb__ControlUpdate update = PB__CONTROL_UPDATE__INIT;
    update.revision = hub->statement_revision;
    update.statement = hub->statement;
    tell_section(hub, RL_SECTION_STATEMENT, &update);
    if (hub->config.statement_signed)
        hub->config.statement_signed(hub->config.context, hub->statement);
}

static void sign_statement(struct rl_auth_hub *hub)
{
    const struct rl_snapshot *snapshot = hub->view->snapshot;
    int64_t now_ns = rl_voted_clock_now_ns(&hub->config.auth->clock);
    int64_t minute = now_ns / 1000000000 / RL_STATEMENT_S;
    if (hub->statement && minute == hub->statement_minute &&
        snapshot->revision == hub->statement_revision)
        return;
    struct rl_error err;
    Pb__SignedStatement *statement = NULL;
    const struct rl_authority *signer = &snapshot->authorities->policy;
    if (rl_statement_sign(hub->config.auth->cluster, now_ns, snapshot->revision,
                          rl_checkpoints_head(hub->config.auth->checkpoints), signer->key,
                          signer->key_id, &statement, &err) != RL_OK) {
        rl_log_error("no statement was signed", RL_TEXT("error", err.message));
        return;
    }
    if (hub->statement)
        pb__signed_statement__free_unpacked(hub->statement, NULL);
    hub->statement = statement;
    hub->statement_minute = minute;
    hub->statement_revision = snapshot->revision;
    tell_statement(hub);
}

/* ---- reading, on a worker ---- */

struct reading {
    struct rl_auth_hub *hub;
    bool heartbeat, prune;
    struct rl_view *view;
    int64_t database_ns, own_ns; /* at one moment: */
    uint64_t boot_ms;
    rl_code rc;
    struct rl_error err;
};

static rl_code renew_own_lease(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct rl_auth_hub *hub = context;
    const struct rl_hub_config *c = &hub->config;
    struct rl_lease lease = {
        .id = c->auth->id,
        .kind = "auth",
        .version = RL_VERSION,
        .dial_address = c->direct_address,
        .attach_address = c->proxied_address ? c->proxied_address : "",
        .control_address = "",
        .peer_address = "",
    };
    return rl_leases_renew(db, &lease, RL_AUTH_LEASE_S, err);
}

/* As long as somebody may come and show a certificate of theirs. */
static rl_code prune_authorities(struct rl_db *db, struct rl_error *err)
{
    Pb__ClusterConfig *config = NULL;
    rl_code rc = rl_cluster_config(db, &config, err);
    if (rc != RL_OK)
        return rc;
    uint64_t life_s = rl_node_certificate_ttl_s(config->spec);
    if (life_s < RL_INSTANCE_TTL_S)
        life_s = RL_INSTANCE_TTL_S; /* it was lowered meanwhile */
    rc = rl_authorities_prune(db, life_s + rl_node_return_grace_s(config->spec), err);
    pb__cluster_config__free_unpacked(config, NULL);
    return rc;
}

static rl_code prune(struct rl_db *db, void *context, struct rl_error *err)
{
    (void)context;
    size_t removed = 0;
    rl_code rc = rl_leaf_attachments_prune(db, err);
    if (rc == RL_OK)
        rc = rl_leases_prune(db, err);
    if (rc == RL_OK)
        rc = rl_tokens_prune(db, err);
    if (rc == RL_OK)
        rc = rl_failures_prune(db, RL_LOGIN_WINDOW_S, err);
    if (rc == RL_OK)
        rc = prune_authorities(db, err);
    if (rc == RL_OK)
        rc = rl_policy_prune(db, &removed, err);
    if (rc == RL_OK && removed)
        rc = rl_revision_bump(db, NULL, err);
    return rc;
}

/* A phase of a rotation whose time has come. */
static rl_code go_on_rotating(struct rl_auth *auth, struct rl_error *err)
{
    char *kind = NULL, *phase = NULL;
    rl_code rc = rl_rotate_due(auth, &kind, &phase, err);
    if (rc != RL_OK || !kind)
        return rc;
    rl_log_info("authorities rotate", RL_TEXT("kind", kind), RL_TEXT("phase", phase));
    Pb__Event *event = rl_auth_event(auth, "auth.rotate", "success", NULL);
    rl_event_detail(event, "phase", phase);
    rl_event_detail(event, "kind", kind);
    rl_auth_tell(auth, &event);
    free(kind);
    free(phase);
    return RL_OK;
}

static void finish_reading(void *context);

static rl_code read_time(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    rl_code rc = rl_db_now(db, &r->database_ns, err);
    r->own_ns = rl_clock_wall_ns();
    r->boot_ms = rl_clock_boot_ms();
    return rc;
}

static void read_view(void *context)
{
    struct reading *r = context;
    struct rl_auth *auth = r->hub->config.auth;
    r->rc = RL_OK;
    if (r->heartbeat)
        r->rc = rl_store_transaction(auth->store, renew_own_lease, r->hub, &r->err);
    if (r->rc == RL_OK && r->prune)
        r->rc = rl_store_transaction(auth->store, prune, NULL, &r->err);
    if (r->rc == RL_OK)
        r->rc = go_on_rotating(auth, &r->err);
    if (r->rc == RL_OK)
        r->rc = rl_store_transaction(auth->store, read_time, r, &r->err);
    if (r->rc == RL_OK)
        r->rc = rl_view_read(auth, &r->view, &r->err);
    rl_loop_post(r->hub->config.loop, finish_reading, r);
}

static bool is_due(uint64_t *last_ms, uint64_t now_ms, uint64_t period_ms)
{
    if (*last_ms && now_ms - *last_ms < period_ms)
        return false;
    *last_ms = now_ms ? now_ms : 1;
    return true;
}

static void start_reading(struct rl_auth_hub *hub)
{
    if (hub->is_stopped)
        return;
    if (hub->is_reading) {
        hub->is_hinted = true;
        return;
    }
    uint64_t now_ms = rl_loop_now_ms(hub->config.loop);
    struct reading *r = rl_alloc(sizeof *r);
    r->hub = hub;
    r->heartbeat = is_due(&hub->heartbeat_ms, now_ms, RL_AUTH_HEARTBEAT_MS - RL_HUB_POLL_MS / 2);
    r->prune = is_due(&hub->prune_ms, now_ms, PRUNE_MS);
    hub->is_hinted = false;
    if (rl_workers_submit(hub->config.auth->control_workers, read_view, r, NULL) == RL_OK)
        hub->is_reading = true;
    else
        free(r); /* every worker is busy: in a second again */
}

static void note_database(struct rl_auth_hub *hub, const struct reading *r)
{
    bool is_away = r->rc != RL_OK;
    rl_health_need(hub->config.health, "database", !is_away);
    if (is_away && !hub->was_away)
        rl_log_error("the database can not be read", RL_TEXT("code", rl_code_name(r->rc)),
                     RL_TEXT("error", r->err.message));
    if (!is_away && hub->was_away)
        rl_log_info("the database is back");
    hub->was_away = is_away;
}

static void vote_on_time(struct rl_auth_hub *hub, const struct reading *r)
{
    bool agree =
        rl_voted_clock_hear(&hub->config.auth->clock, r->own_ns, r->database_ns, r->boot_ms);
    if (!agree && !hub->has_said_time)
        rl_log_error(
            "this clock and PostgreSQL's do not agree: what is signed goes by neither, but "
            "by what has passed since they did",
            RL_NUMBER("ahead_s", (r->own_ns - r->database_ns) / 1000000000));
    else if (agree && hub->has_said_time)
        rl_log_info("this clock and PostgreSQL's agree again");
    hub->has_said_time = !agree;
}

static void take_view(struct rl_auth_hub *hub, struct rl_view *view)
{
    uint64_t before = hub->view ? hub->view->snapshot->revision : 0;
    bool is_same_snapshot = hub->view && hub->view->snapshot == view->snapshot;
    rl_view_free(&hub->view);
    hub->view = view;
    rl_metric_set(hub->config.auth->metrics.policy_revision, (int64_t)view->snapshot->revision);
    tell_view(hub, is_same_snapshot);
    sign_statement(hub);
    if (hub->config.audit_known)
        hub->config.audit_known(hub->config.context, rl_view_audit_control(view),
                                rl_view_audit_direct(view));
    if (before != view->snapshot->revision && hub->config.revision_changed)
        hub->config.revision_changed(hub->config.context, view->snapshot);
}

static void finish_reading(void *context)
{
    struct reading *r = context;
    struct rl_auth_hub *hub = r->hub;
    hub->is_reading = false;
    if (!hub->is_stopped) {
        note_database(hub, r);
        if (r->rc == RL_OK)
            vote_on_time(hub, r);
        if (r->view)
            take_view(hub, r->view);
        r->view = NULL;
        if (hub->is_hinted)
            start_reading(hub);
    }
    rl_view_free(&r->view);
    free(r);
}

/* ---- the poll and the hints ---- */

static void on_timer(void *context)
{
    struct rl_auth_hub *hub = context;
    start_reading(hub);
    if (!hub->is_stopped)
        rl_timer_arm(hub->timer, RL_HUB_POLL_MS);
}

static void on_posted_hint(void *context)
{
    start_reading(context);
}

static void on_hint(void *context, const char *payload)
{
    (void)payload;
    struct rl_auth_hub *hub = context;
    rl_loop_post(hub->config.loop, on_posted_hint, hub);
}

rl_code rl_hub_create(const struct rl_hub_config *config, struct rl_auth_hub **out,
                      struct rl_error *err)
{
    struct rl_auth_hub *hub = rl_alloc(sizeof *hub);
    hub->config = *config;
    for (size_t i = 0; i < RL_SECTION_COUNT; i++)
        rl_buf_init(&hub->told[i], SECTION_BYTES_MAX);
    hub->timer = rl_timer_create(config->loop, on_timer, hub);
    rl_code rc = rl_listener_start(config->auth->store, RL_AUTH_NOTIFY_CHANNEL, on_hint, hub,
                                   &hub->listener, err);
    if (rc != RL_OK) {
        rl_hub_free(&hub);
        return rc;
    }
    rl_timer_arm(hub->timer, 0);
    *out = hub;
    return RL_OK;
}

void rl_hub_stop(struct rl_auth_hub *hub)
{
    hub->is_stopped = true;
    rl_timer_disarm(hub->timer);
    rl_listener_stop(&hub->listener);
}

void rl_hub_drain(struct rl_auth_hub *hub)
{
    for (struct watcher *w = hub->watchers, *next; w; w = next) {
        next = w->next;
        rl_rpc_end(w->call, RL_E_UNAVAILABLE, "auth is going away");
    }
}

void rl_hub_free(struct rl_auth_hub **hub)
{
    struct rl_auth_hub *h = *hub;
    if (!h)
        return;
    if (h->listener)
        rl_hub_stop(h);
    RL_ASSERT(!h->watchers); /* their server is gone */
    rl_timer_free(&h->timer);
    rl_view_free(&h->view);
    if (h->statement)
        pb__signed_statement__free_unpacked(h->statement, NULL);
    for (size_t i = 0; i < RL_SECTION_COUNT; i++)
        rl_buf_fini(&h->told[i]);
    free(h);
    *hub = NULL;
}

/* ---- Watch ---- */

static rl_code check_watch(const struct rl_auth_hub *hub, struct rl_rpc_call *call,
                           const Pb__WatchRequest *request, struct rl_error *err)
{
    if (!rl_identity_is_service(rl_rpc_peer(call)->identity, request->service_kind))
        return rl_fail(err, RL_E_DENIED, "a service watches as itself only");
    if (rl_protocol_check(request->protocol, request->protocol_min, request->service_kind, err) !=
        RL_OK)
        return err->code;
    if (hub->watcher_count >= RL_HUB_WATCHERS_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "%d watch already", RL_HUB_WATCHERS_MAX);
    return RL_OK;
}

static void on_watch(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct rl_auth *auth = context;
    struct rl_auth_hub *hub = auth->hub;
    const Pb__WatchRequest *request = (const Pb__WatchRequest *)message;
    struct rl_error err;
    if (rl_rpc_data(call))
        return; /* it watches already */
    if (check_watch(hub, call, request, &err) != RL_OK) {
        rl_rpc_end(call, err.code, err.message);
        return;
    }
    struct watcher *w = rl_alloc(sizeof *w);
    w->auth = auth;
    w->call = call;
    w->ticket_hour = -1;
    strncpy(w->kind, request->service_kind, sizeof w->kind - 1);
    w->next = hub->watchers;
    w->link = &hub->watchers;
    if (w->next)
        w->next->link = &w->next;
    hub->watchers = w;
    rl_metric_set(auth->metrics.watchers, (int64_t)++hub->watcher_count);
    rl_rpc_set_data(call, w);
    send_everything(hub, w);
}

static void on_watch_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)call; /* it has asked; it is told until it goes */
    (void)context;
}

static void on_watch_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                            void *context)
{
    (void)code;
    (void)message;
    struct rl_auth *auth = context;
    struct watcher *w = rl_rpc_data(call);
    if (!w)
        return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    rl_metric_set(auth->metrics.watchers, (int64_t)--auth->hub->watcher_count);
    free(w);
}

const struct rl_rpc_stream_ops rl_hub_watch_ops = {
    .message = on_watch,
    .half_closed = on_watch_half_closed,
    .closed = on_watch_closed,
};
