/* recordings_read: what is known of each recording is counted from its parts each time, by an index
 * that holds what is needed; so there is nothing beside the parts that could say otherwise. */
#include "recordings.h"

#include <stdlib.h>
#include <string.h>

/* Columns of a recording, in the order of take_one(). */
#define SELECT                                                                                     \
    "SELECT r.session_id, r.channel, r.day, r.received_ns, r.packed, s.parts, s.last, s.bytes,"    \
    " s.heard_ns, e.packed, COALESCE(l.seen_ns >= $9, false)"                                      \
    " FROM recordings r CROSS JOIN LATERAL ("                                                      \
    "  SELECT count(*) AS parts, max(part) AS last, COALESCE(sum(bytes), 0)::bigint AS bytes,"     \
    "  max(received_ns) AS heard_ns FROM recording_parts p WHERE p.day = r.day"                    \
    "  AND p.session_id = r.session_id AND p.channel = r.channel) s"                               \
    " LEFT JOIN LATERAL (SELECT packed FROM recording_parts p WHERE p.day = r.day"                 \
    "  AND p.session_id = r.session_id AND p.channel = r.channel AND p.is_end"                     \
    "  ORDER BY part DESC LIMIT 1) e ON true "
#define LEASES                                                                                     \
    "JOIN recording_leases l ON l.session_id = r.session_id AND l.channel = r.channel"             \
    " AND NOT l.is_ended"
#define WHERE                                                                                      \
    " WHERE ($1::text IS NULL OR r.session_id = $1::text::uuid) AND ($2 < 0 OR r.channel = $2)"    \
    " AND r.at_ns BETWEEN $3 AND $4"                                                               \
    " AND ($5::text IS NULL OR (r.user_name = $5 AND r.user_cluster = $6))"                        \
    " AND ($7 OR r.mode <> 'off')"
#define ORDER " ORDER BY r.at_ns DESC, r.session_id DESC, r.channel DESC LIMIT $8"

void rl_audit_recordings_clear(struct rl_audit_recordings *recordings)
{
    for (size_t i = 0; i < recordings->count; i++)
        pb__recording__free_unpacked(recordings->items[i], NULL);
    free(recordings->items);
    free(recordings->days);
    *recordings = (struct rl_audit_recordings){0};
}

static struct rl_param text_or_null(const char *text)
{
    return text && *text ? rl_param_text(text) : rl_param_null();
}

struct listing {
    const struct rl_audit_recordings_filter *filter;
    int64_t now_ns;
    struct rl_audit_recordings found;
};

/* It has ended when it says so; it lives while its lease does. */
static void set_status(Pb__Recording *x, struct rl_rows *rows, size_t i)
{
    bool is_whole = rl_row_int(rows, i, 5) == rl_row_int(rows, i, 6) + 1;
    const char *status = "partial";
    if (x->end && is_whole && !x->end->lost_parts)
        status = "complete";
    else if (!x->end && rl_row_bool(rows, i, 10))
        status = "live";
    x->status = rl_strdup(status);
    if (x->end)
        x->ended_ns = x->end->ended_ns;
    else if (strcmp(status, "partial") == 0)
        x->ended_ns = rl_row_int(rows, i, 8);
}

static rl_code take_one(struct rl_rows *rows, size_t i, Pb__Recording *x, struct rl_error *err)
{
    struct rl_span start = rl_row_bytes(rows, i, 4), end = rl_row_bytes(rows, i, 9);
    x->session_id = rl_strdup(rl_row_text(rows, i, 0));
    x->channel = (uint32_t)rl_row_int(rows, i, 1);
    x->received_ns = rl_row_int(rows, i, 3);
    x->parts = (uint32_t)rl_row_int(rows, i, 5);
    x->size_bytes = (uint64_t)rl_row_int(rows, i, 7);
    x->start = pb__recording_start__unpack(NULL, start.n, start.p);
    if (!rl_row_is_null(rows, i, 9)) {
        Pb__RecordingPart *last = pb__recording_part__unpack(NULL, end.n, end.p);
        if (last) {
            x->end = last->end;
            last->end = NULL;
            pb__recording_part__free_unpacked(last, NULL);
        }
    }
    set_status(x, rows, i);
    if (!x->start || (!x->end && !rl_row_is_null(rows, i, 9)))
        return rl_fail(err, RL_E_DATA_LOSS, "recording %s cannot be read", x->session_id);
    return RL_OK;
}

static rl_code take_all(struct rl_rows *rows, struct rl_audit_recordings *out, struct rl_error *err)
{
    size_t n = rl_rows_count(rows);
    rl_code rc = RL_OK;
    rl_audit_recordings_clear(out);
    out->items = rl_alloc_array(n + 1, sizeof *out->items);
    out->days = rl_alloc_array(n + 1, sizeof *out->days);
    for (size_t i = 0; rc == RL_OK && i < n; i++) {
        Pb__Recording *x = out->items[out->count++] = rl_alloc(sizeof *x);
        pb__recording__init(x);
        out->days[i] = rl_row_int(rows, i, 2);
        rc = take_one(rows, i, x, err);
    }
    return rc == RL_OK ? rl_rows_check(rows, err) : rc;
}

static rl_code list(struct rl_db *db, void *context, struct rl_error *err)
{
    struct listing *listing = context;
    const struct rl_audit_recordings_filter *f = listing->filter;
    struct rl_rows *rows = NULL;
    const struct rl_param params[] = {
        text_or_null(f->session_id),
        rl_param_int(f->channel),
        rl_param_int(f->live_only ? INT64_MIN : f->from_ns),
        rl_param_int(f->live_only ? INT64_MAX : f->to_ns),
        text_or_null(f->own_user),
        text_or_null(f->own_cluster),
        rl_param_bool(f->live_only || f->with_unrecorded),
        rl_param_int(f->limit),
        rl_param_int(listing->now_ns - RL_AUDIT_RECORDING_LEASE_NS),
    };
    const char *sql = f->live_only ? SELECT LEASES WHERE " AND l.seen_ns >= $9" ORDER
                                   : SELECT "LEFT " LEASES WHERE ORDER;
    rl_code rc = rl_query_planned(db, sql, params, RL_COUNT(params), &rows, err);
    if (rc == RL_OK)
        rc = take_all(rows, &listing->found, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_list_recordings(struct rl_store *store,
                                 const struct rl_audit_recordings_filter *filter, int64_t now_ns,
                                 struct rl_audit_recordings *out, struct rl_error *err)
{
    struct listing listing = {.filter = filter, .now_ns = now_ns};
    rl_code rc = rl_store_transaction(store, list, &listing, err);
    if (rc != RL_OK) {
        rl_audit_recordings_clear(&listing.found);
        return rc;
    }
    rl_audit_recordings_clear(out);
    *out = listing.found;
    return RL_OK;
}

/* ---- parts ---- */

void rl_audit_parts_clear(struct rl_audit_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        rl_buf_fini(&parts->packed[i]);
    parts->count = 0;
}

struct paging {
    int64_t day;
    const char *session_id;
    int64_t channel;
    struct rl_audit_parts *parts;
};

static rl_code read_parts(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct paging *p = context;
    struct rl_audit_parts *parts = p->parts;
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 "SELECT packed, part, is_end FROM recording_parts WHERE day = $1"
                 " AND session_id = $2::uuid AND channel = $3 AND part > $4 ORDER BY part LIMIT 16",
                 rl_param_int(p->day), rl_param_text(p->session_id), rl_param_int(p->channel),
                 rl_param_int(parts->last));
    if (rc != RL_OK)
        return rc;
    rl_audit_parts_clear(parts);
    for (size_t i = 0; i < rl_rows_count(rows) && i < RL_AUDIT_RECORDING_PAGE_PARTS; i++) {
        struct rl_span packed = rl_row_bytes(rows, i, 0);
        struct rl_buf *buf = &parts->packed[parts->count++];
        rl_buf_init(buf, packed.n + 1);
        rl_buf_put_span(buf, packed);
        parts->last = rl_row_int(rows, i, 1);
        parts->is_end = parts->is_end || rl_row_bool(rows, i, 2);
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_read_parts(struct rl_store *store, int64_t day, const char *session_id,
                            uint32_t channel, struct rl_audit_parts *parts, struct rl_error *err)
{
    struct paging paging = {day, session_id, channel, parts};
    return rl_store_transaction(store, read_parts, &paging, err);
}
