/* playback_work: the database's side of reading recordings. That a recording is read is written
 * down before a byte of it is sent, and that somebody was refused as well. */
#include "playback.h"

#include "db/insert.h"
#include "event/event.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIET_LOOKS 32 /* between looks whether the session is live still */

/* ---- events ---- */

char *playback_who(const struct rl_audit *audit, const char *user, const char *cluster)
{
    bool is_own = !*cluster || strcmp(cluster, audit->config.cluster) == 0;
    return is_own ? rl_strdup(user) : rl_sprintf("%s@%s", user, cluster);
}

static Pb__Event *make_event(const struct reading *r, const char *type, const char *outcome)
{
    char channel[16];
    const Pb__Recording *x = r->found.count ? r->found.items[0] : NULL;
    Pb__Event *event = rl_event_create(type, outcome, audit_now_ns(r->audit));
    rl_event_set(&event->cluster, r->audit->config.cluster);
    rl_event_set(&event->user, r->caller->name);
    rl_event_set(&event->user_cluster, r->caller->cluster);
    rl_event_set(&event->session_id, r->session_id);
    rl_event_set(&event->client_address, r->address);
    rl_event_set(&event->resource_kind, "session");
    rl_event_set(&event->resource_id, r->session_id);
    snprintf(channel, sizeof channel, "%lld", (long long)r->filter.channel);
    rl_event_detail(event, "channel", channel);
    if (x) {
        rl_event_set(&event->resource_name, x->start->node_name);
        rl_event_set(&event->login, x->start->login);
        char *owner = playback_who(r->audit, x->start->user, x->start->user_cluster);
        rl_event_detail(event, "owner", owner);
        free(owner);
    }
    return event;
}

static rl_code write_event(struct reading *r, const char *outcome, const char *reason,
                           struct rl_error *err)
{
    const struct rl_audit_config *c = &r->audit->config;
    const char *type = r->kind == READING_JOIN ? "session.join" : "session.playback";
    Pb__Event *event = make_event(r, type, outcome);
    rl_event_set(&event->reason, reason);
    struct rl_audit_entry entry = {.event = event, .sender_kind = "audit", .sender_id = c->replica};
    rl_code rc = rl_audit_insert(c->store, c->replica, audit_now_ns(r->audit), &entry, 1, err);
    rl_event_free(&event);
    return rc;
}

/* The reading is gone by then, and perhaps audit itself: what is needed is here. */
struct told {
    struct rl_store *store;
    char *replica;
    Pb__Event *event;
};

static void tell(void *context)
{
    struct told *told = context;
    struct rl_error err;
    struct rl_audit_entry entry = {
        .event = told->event, .sender_kind = "audit", .sender_id = told->replica};
    if (rl_audit_insert(told->store, told->replica, told->event->time_ns, &entry, 1, &err) != RL_OK)
        rl_log_error("that somebody left a session could not be written",
                     RL_TEXT("session_id", told->event->session_id), RL_TEXT("error", err.message));
    rl_event_free(&told->event);
    free(told->replica);
    free(told);
}

void playback_tell_left(struct reading *r)
{
    struct told *told = rl_alloc(sizeof *told);
    *told = (struct told){.store = r->audit->config.store,
                          .replica = rl_strdup(r->audit->config.replica),
                          .event = make_event(r, "session.leave", "success")};
    if (rl_workers_submit(r->audit->config.searchers, tell, told, NULL) != RL_OK)
        tell(told);
}

/* ---- steps ---- */

static rl_code find(struct reading *r, struct rl_error *err)
{
    struct rl_audit_recordings_filter filter = r->filter;
    if (r->permission.own_only) {
        filter.own_user = r->caller->name;
        filter.own_cluster = r->caller->cluster;
    }
    return rl_audit_list_recordings(r->audit->config.store, &filter, audit_now_ns(r->audit),
                                    &r->found, err);
}

/* What one may not see and what is not there are told in the same words. */
static rl_code find_one(struct reading *r, struct rl_error *err)
{
    rl_code rc = find(r, err);
    if (rc != RL_OK)
        return rc;
    if (!r->found.count)
        return rl_fail(err, RL_E_NOT_FOUND, "no such recording: %s", r->session_id);
    const Pb__Recording *x = r->found.items[0];
    bool is_live = strcmp(x->status, "live") == 0;
    if (strcmp(x->start->mode, "off") == 0)
        return rl_fail(err, RL_E_PRECONDITION, "session %s is not recorded (record_session: off)",
                       r->session_id);
    if (r->kind == READING_JOIN && !is_live)
        return rl_fail(err, RL_E_PRECONDITION, "session %s has ended; `tsh play` shows it",
                       r->session_id);
    if (r->kind == READING_JOIN && !x->start->interactive)
        return rl_fail(err, RL_E_PRECONDITION, "session %s has no terminal to watch",
                       r->session_id);
    /* Watching gives no right to what was shown before. */
    r->parts.last = r->kind == READING_JOIN ? (int64_t)x->parts - 1 : -1;
    return write_event(r, "success", "", err);
}

static rl_code look_whether_live(struct reading *r, struct rl_error *err)
{
    struct rl_audit_recordings now = {0};
    rl_code rc = rl_audit_list_recordings(r->audit->config.store, &r->filter,
                                          audit_now_ns(r->audit), &now, err);
    if (rc == RL_OK)
        r->is_gone = !now.count || strcmp(now.items[0]->status, "live") != 0;
    rl_audit_recordings_clear(&now);
    return rc;
}

static rl_code read_parts(struct reading *r, struct rl_error *err)
{
    rl_code rc = rl_audit_read_parts(r->audit->config.store, r->found.days[0], r->session_id,
                                     (uint32_t)r->filter.channel, &r->parts, err);
    if (rc != RL_OK || r->kind != READING_JOIN)
        return rc;
    r->quiet = r->parts.count ? 0 : r->quiet + 1;
    return r->quiet && r->quiet % QUIET_LOOKS == 0 ? look_whether_live(r, err) : RL_OK;
}

void playback_work(struct reading *r)
{
    switch (r->step) {
    case STEP_FIND:
        r->rc = r->kind == READING_LIST ? find(r, &r->err) : find_one(r, &r->err);
        break;
    case STEP_PARTS:
        r->rc = read_parts(r, &r->err);
        break;
    case STEP_DENIED: {
        struct rl_error denied = r->err;
        r->rc = write_event(r, "denied", denied.message, &r->err);
        if (r->rc == RL_OK)
            r->rc = rl_fail(&r->err, RL_E_DENIED, "%s", denied.message);
        break;
    }
    }
}
