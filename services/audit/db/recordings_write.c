/* recordings_write: one transaction for what a node sends at once. */
#include "recordings.h"

#include "../judge.h"
#include "partitions.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#define N RL_AUDIT_RECORDING_PARTS_MAX

/* The rows to be, column by column. */
struct writing {
    const char *agent;
    int64_t now_ns;
    const Pb__WriteRecordingRequest *request;
    size_t accepted;
    /* recording_parts */
    const char *sessions[N];
    int64_t channels[N], parts[N], days[N], is_end[N], bytes[N];
    uint8_t hashes[N][SHA256_DIGEST_LENGTH];
    struct rl_span sha256[N], packed[N];
    size_t count;
    /* recordings */
    struct {
        const char *sessions[N], *users[N], *user_clusters[N], *modes[N];
        int64_t channels[N], at_ns[N];
        struct rl_span packed[N];
        size_t count;
    } starts;
    /* recording_leases, kept up */
    const char *live_sessions[RL_AUDIT_RECORDING_LIVE_MAX];
    int64_t live_channels[RL_AUDIT_RECORDING_LIVE_MAX];
};

/* ---- laying out ---- */

static struct rl_span pack(const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p = rl_alloc(n + 1);
    protobuf_c_message_pack(message, p);
    return RL_SPAN(p, n);
}

static void add_start(struct writing *w, const Pb__RecordingPart *part,
                      const Pb__RecordingStart *start)
{
    size_t i = w->starts.count++;
    bool is_wrong = rl_audit_clock_is_wrong(start->started_ns, w->now_ns);
    w->starts.sessions[i] = part->session_id;
    w->starts.channels[i] = part->channel;
    w->starts.users[i] = start->user;
    w->starts.user_clusters[i] = start->user_cluster[0] ? start->user_cluster : start->cluster;
    w->starts.modes[i] = start->mode;
    w->starts.at_ns[i] = is_wrong ? w->now_ns : start->started_ns;
    w->starts.packed[i] = pack(&start->base);
}

/* Whose node it is, is the certificate's word. */
static void add_part(struct writing *w, const Pb__RecordingPart *part)
{
    size_t i = w->count++;
    Pb__RecordingPart stamped = *part;
    Pb__RecordingStart start;
    if (part->start) {
        start = *part->start;
        start.node_id = (char *)(uintptr_t)w->agent;
        stamped.start = &start;
        add_start(w, part, &start);
    }
    w->sessions[i] = part->session_id;
    w->channels[i] = part->channel;
    w->parts[i] = part->part;
    w->is_end[i] = part->end != NULL;
    w->bytes[i] = (int64_t)part->data.len;
    w->packed[i] = pack(&stamped.base);
    SHA256(w->packed[i].p, w->packed[i].n, w->hashes[i]);
    w->sha256[i] = RL_SPAN(w->hashes[i], sizeof w->hashes[i]);
}

static void clear(struct writing *w)
{
    for (size_t i = 0; i < w->count; i++)
        free((void *)(uintptr_t)w->packed[i].p);
    for (size_t i = 0; i < w->starts.count; i++)
        free((void *)(uintptr_t)w->starts.packed[i].p);
}

/* ---- writing ---- */

static rl_code insert_starts(struct rl_db *db, const struct writing *w, struct rl_error *err)
{
    size_t n = w->starts.count;
    if (!n)
        return RL_OK;
    return rl_exec(
        db, NULL, err,
        "INSERT INTO recordings (session_id, channel, agent, day, at_ns, received_ns, user_name,"
        " user_cluster, mode, packed)"
        " SELECT s::uuid, c, $1::uuid, $2, at, $3, u, uc, m, p"
        " FROM unnest($4, $5, $6, $7, $8, $9, $10) AS row (s, c, at, u, uc, m, p)"
        " ON CONFLICT DO NOTHING",
        rl_param_text(w->agent), rl_param_int(w->now_ns / RL_AUDIT_DAY_NS), rl_param_int(w->now_ns),
        rl_param_texts(w->starts.sessions, n), rl_param_ints(w->starts.channels, n),
        rl_param_ints(w->starts.at_ns, n), rl_param_texts(w->starts.users, n),
        rl_param_texts(w->starts.user_clusters, n), rl_param_texts(w->starts.modes, n),
        rl_param_bytes_list(w->starts.packed, n));
}

static rl_code take_day(struct writing *w, struct rl_rows *rows, size_t i, struct rl_error *err)
{
    const char *agent = rl_row_text(rows, i, 0);
    if (rl_row_bool(rows, i, 2) || (*agent && strcmp(agent, w->agent) != 0))
        return rl_fail(err, RL_E_DENIED, "session %s is another node's", w->sessions[i]);
    if (!*agent)
        return rl_fail(err, RL_E_PRECONDITION, "part %lld of session %s comes before part 0",
                       (long long)w->parts[i], w->sessions[i]);
    w->days[i] = rl_row_int(rows, i, 1);
    return RL_OK;
}

/* A session belongs to the node that wrote of it first, all its channels. */
static rl_code find_days(struct rl_db *db, struct writing *w, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT COALESCE(r.agent::text, ''), COALESCE(r.day, 0),"
        " EXISTS (SELECT FROM recordings o WHERE o.session_id = k.s AND o.agent <> $3::uuid)"
        " FROM unnest($1::text[]::uuid[], $2::bigint[]) WITH ORDINALITY AS k (s, c, n)"
        " LEFT JOIN recordings r ON r.session_id = k.s AND r.channel = k.c ORDER BY k.n",
        rl_param_texts(w->sessions, w->count), rl_param_ints(w->channels, w->count),
        rl_param_text(w->agent));
    for (size_t i = 0; rc == RL_OK && i < w->count; i++)
        rc = take_day(w, rows, i, err);
    if (rc == RL_OK)
        rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static rl_code insert_parts(struct rl_db *db, struct writing *w, struct rl_error *err)
{
    return rl_exec(
        db, &w->accepted, err,
        "INSERT INTO recording_parts (day, session_id, channel, part, received_ns, is_end, bytes,"
        " sha256, packed)"
        " SELECT d, s::uuid, c, n, $1, e <> 0, b, h, p"
        " FROM unnest($2, $3, $4, $5, $6, $7, $8, $9) AS row (d, s, c, n, e, b, h, p)"
        " ON CONFLICT DO NOTHING",
        rl_param_int(w->now_ns), rl_param_ints(w->days, w->count),
        rl_param_texts(w->sessions, w->count), rl_param_ints(w->channels, w->count),
        rl_param_ints(w->parts, w->count), rl_param_ints(w->is_end, w->count),
        rl_param_ints(w->bytes, w->count), rl_param_bytes_list(w->sha256, w->count),
        rl_param_bytes_list(w->packed, w->count));
}

/* What is there under these numbers is what was sent: a part is not written over, nor can one be
 * hidden behind another by giving its session's id twice. */
static rl_code check_same(struct rl_db *db, const struct writing *w, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT count(*) FROM unnest($1::bigint[], $2::text[]::uuid[], $3::bigint[], $4::bigint[],"
        " $5::bytea[]) AS k (d, s, c, n, h) JOIN recording_parts p ON p.day = k.d AND"
        " p.session_id = k.s AND p.channel = k.c AND p.part = k.n AND p.sha256 = k.h",
        rl_param_ints(w->days, w->count), rl_param_texts(w->sessions, w->count),
        rl_param_ints(w->channels, w->count), rl_param_ints(w->parts, w->count),
        rl_param_bytes_list(w->sha256, w->count));
    if (rc != RL_OK)
        return rc;
    if ((size_t)rl_row_int(rows, 0, 0) != w->count)
        rc = rl_fail(err, RL_E_EXISTS,
                     "another part is there under the same session and number as one of these");
    rl_rows_free(&rows);
    return rc;
}

static rl_code lease_parts(struct rl_db *db, const struct writing *w, struct rl_error *err)
{
    return rl_exec(db, NULL, err,
                   "INSERT INTO recording_leases AS l (session_id, channel, day, seen_ns, is_ended)"
                   " SELECT s::uuid, c, max(d), $1, max(e) <> 0 FROM unnest($2, $3, $4, $5)"
                   " AS row (s, c, d, e) GROUP BY s, c ORDER BY s, c"
                   " ON CONFLICT (session_id, channel) DO UPDATE SET"
                   " seen_ns = greatest(l.seen_ns, EXCLUDED.seen_ns),"
                   " is_ended = l.is_ended OR EXCLUDED.is_ended",
                   rl_param_int(w->now_ns), rl_param_texts(w->sessions, w->count),
                   rl_param_ints(w->channels, w->count), rl_param_ints(w->days, w->count),
                   rl_param_ints(w->is_end, w->count));
}

/* Also one that was closed because its node was not heard of, and now is. */
static rl_code lease_live(struct rl_db *db, const struct writing *w, struct rl_error *err)
{
    size_t n = w->request->n_live;
    if (!n)
        return RL_OK;
    return rl_exec(
        db, NULL, err,
        "INSERT INTO recording_leases AS l (session_id, channel, day, seen_ns, is_ended)"
        " SELECT r.session_id, r.channel, r.day, $1, false"
        " FROM unnest($2::text[]::uuid[], $3::bigint[]) AS k (s, c)"
        " JOIN recordings r ON r.session_id = k.s AND r.channel = k.c AND r.agent = $4::uuid"
        " WHERE NOT EXISTS (SELECT FROM recording_parts p WHERE p.day = r.day AND"
        "  p.session_id = r.session_id AND p.channel = r.channel AND p.is_end)"
        " ORDER BY r.session_id, r.channel"
        " ON CONFLICT (session_id, channel) DO UPDATE SET"
        " seen_ns = greatest(l.seen_ns, EXCLUDED.seen_ns)",
        rl_param_int(w->now_ns), rl_param_texts(w->live_sessions, n),
        rl_param_ints(w->live_channels, n), rl_param_text(w->agent));
}

static rl_code write_all(struct rl_db *db, void *context, struct rl_error *err)
{
    struct writing *w = context;
    rl_code rc = RL_OK;
    w->accepted = 0;
    if (w->count) {
        rc = insert_starts(db, w, err);
        if (rc == RL_OK)
            rc = find_days(db, w, err);
        if (rc == RL_OK)
            rc = insert_parts(db, w, err);
        if (rc == RL_OK && w->accepted < w->count)
            rc = check_same(db, w, err);
        if (rc == RL_OK && w->accepted)
            rc = lease_parts(db, w, err);
    }
    return rc == RL_OK ? lease_live(db, w, err) : rc;
}

rl_code rl_audit_write_recording(struct rl_store *store, const char *agent, int64_t now_ns,
                                 const Pb__WriteRecordingRequest *request, size_t *accepted,
                                 struct rl_error *err)
{
    RL_ASSERT(request->n_parts <= N && request->n_live <= RL_AUDIT_RECORDING_LIVE_MAX);
    struct writing *w = rl_alloc(sizeof *w);
    *w = (struct writing){.agent = agent, .now_ns = now_ns, .request = request};
    for (size_t i = 0; i < request->n_parts; i++)
        add_part(w, request->parts[i]);
    for (size_t i = 0; i < request->n_live; i++) {
        w->live_sessions[i] = request->live[i]->session_id;
        w->live_channels[i] = request->live[i]->channel;
    }
    rl_code rc = rl_store_transaction(store, write_all, w, err);
    if (rc == RL_OK)
        *accepted = w->accepted;
    clear(w);
    free(w);
    return rc;
}
