/* recordings_close: the event that says of a recording that it is closed, with what it then was: a
 * hash over its parts goes into the chain of events with it. */
#include "recordings.h"

#include "event/event.h"
#include "insert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct closing {
    const char *replica, *cluster;
    int64_t now_ns;
    Pb__Event *events[RL_AUDIT_RECORDINGS_CLOSE_MAX];
    size_t count;
};

static void clear(struct closing *c)
{
    for (size_t i = 0; i < c->count; i++)
        rl_event_free(&c->events[i]);
    c->count = 0;
}

static void detail_number(Pb__Event *event, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    rl_event_detail(event, key, text);
}

/* Columns as in the query of take_over(). */
static rl_code tell(struct closing *c, struct rl_rows *rows, size_t i, struct rl_error *err)
{
    struct rl_span packed = rl_row_bytes(rows, i, 2);
    Pb__RecordingStart *start = pb__recording_start__unpack(NULL, packed.n, packed.p);
    if (!start)
        return rl_fail(err, RL_E_DATA_LOSS, "recording %s cannot be read", rl_row_text(rows, i, 0));
    bool is_ended = rl_row_bool(rows, i, 3);
    bool is_whole = rl_row_int(rows, i, 4) == rl_row_int(rows, i, 5) + 1;
    Pb__Event *event =
        rl_event_create("session.upload", is_ended ? "success" : "failure", c->now_ns);
    rl_event_set(&event->cluster, c->cluster);
    rl_event_set(&event->user, start->user);
    rl_event_set(&event->user_cluster, start->user_cluster);
    rl_event_set(&event->session_id, rl_row_text(rows, i, 0));
    rl_event_set(&event->root_session_id, start->root_session_id);
    rl_event_set(&event->resource_kind, "node");
    rl_event_set(&event->resource_id, start->node_id);
    rl_event_set(&event->resource_name, start->node_name);
    rl_event_set(&event->login, start->login);
    rl_event_set(&event->client_address, start->client_address);
    if (!is_ended)
        rl_event_set(&event->reason, "its node was not heard of any more");
    detail_number(event, "channel", rl_row_int(rows, i, 1));
    rl_event_detail(event, "recording", start->mode);
    rl_event_detail(event, "status", is_ended && is_whole ? "complete" : "partial");
    detail_number(event, "parts", rl_row_int(rows, i, 4));
    detail_number(event, "bytes", rl_row_int(rows, i, 6));
    rl_event_detail(event, "sha256", rl_row_text(rows, i, 7));
    pb__recording_start__free_unpacked(start, NULL);
    c->events[c->count++] = event;
    return RL_OK;
}

/* Whoever takes the lease away tells of it: no two replicas do. */
static rl_code take_over(struct rl_db *db, struct closing *c, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "WITH closed AS (DELETE FROM recording_leases WHERE (session_id, channel) IN"
        "  (SELECT session_id, channel FROM recording_leases WHERE is_ended OR seen_ns < $1"
        "   ORDER BY session_id, channel LIMIT $2 FOR UPDATE SKIP LOCKED)"
        "  RETURNING session_id, channel, is_ended)"
        " SELECT r.session_id, r.channel, r.packed, c.is_ended, s.parts, s.last, s.bytes, s.sha256"
        " FROM closed c JOIN recordings r ON r.session_id = c.session_id AND r.channel = c.channel"
        " CROSS JOIN LATERAL (SELECT count(*) AS parts, COALESCE(max(part), 0) AS last,"
        "  COALESCE(sum(bytes), 0)::bigint AS bytes,"
        "  COALESCE(encode(sha256(string_agg(sha256, ''::bytea ORDER BY part)), 'hex'), '')"
        "   AS sha256"
        "  FROM recording_parts p WHERE p.day = r.day AND p.session_id = r.session_id"
        "  AND p.channel = r.channel) s",
        rl_param_int(c->now_ns - RL_AUDIT_RECORDING_LEASE_NS),
        rl_param_int(RL_AUDIT_RECORDINGS_CLOSE_MAX));
    clear(c);
    for (size_t i = 0; rc == RL_OK && i < rl_rows_count(rows); i++)
        rc = tell(c, rows, i, err);
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static rl_code close_all(struct rl_db *db, void *context, struct rl_error *err)
{
    struct closing *c = context;
    struct rl_audit_entry entries[RL_AUDIT_RECORDINGS_CLOSE_MAX];
    rl_code rc = take_over(db, c, err);
    if (rc != RL_OK || !c->count)
        return rc;
    for (size_t i = 0; i < c->count; i++)
        entries[i] = (struct rl_audit_entry){
            .event = c->events[i], .sender_kind = "audit", .sender_id = c->replica};
    return rl_audit_insert_within(db, c->replica, c->now_ns, entries, c->count, err);
}

rl_code rl_audit_close_recordings(struct rl_store *store, const char *replica, const char *cluster,
                                  int64_t now_ns, size_t *closed, struct rl_error *err)
{
    struct closing c = {.replica = replica, .cluster = cluster, .now_ns = now_ns};
    rl_code rc = rl_store_transaction(store, close_all, &c, err);
    if (rc == RL_OK)
        *closed = c.count;
    clear(&c);
    return rc;
}
