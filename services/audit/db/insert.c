/* insert: the transaction. A replica's chain is one line: an advisory lock makes its transactions
 * take turns, so that numbers become visible in order. Followers rely on that.
 */
#include "insert.h"

#include "../judge.h"
#include "ledger/ledger.h"
#include "partitions.h"

#include <stdlib.h>
#include <string.h>

/* The rows to be, column by column. */
struct columns {
    const char *uids[RL_AUDIT_INSERT_MAX];
    const char *types[RL_AUDIT_INSERT_MAX];
    const char *users[RL_AUDIT_INSERT_MAX];
    const char *user_clusters[RL_AUDIT_INSERT_MAX];
    const char *sessions[RL_AUDIT_INSERT_MAX];
    int64_t at_ns[RL_AUDIT_INSERT_MAX];
    int64_t sequences[RL_AUDIT_INSERT_MAX];
    uint8_t hashes[RL_AUDIT_INSERT_MAX + 1][RL_LEDGER_HASH_BYTES]; /* [0]: the chain's before */
    struct rl_span prev_hashes[RL_AUDIT_INSERT_MAX], new_hashes[RL_AUDIT_INSERT_MAX];
    struct rl_span packed[RL_AUDIT_INSERT_MAX];
    size_t count;
};

struct insertion {
    const char *replica;
    int64_t now_ns;
    struct rl_audit_entry *entries;
    size_t count;
    int64_t received_ns;
    int64_t sequence; /* the chain's last */
    struct columns columns;
};

/* ---- the chain's head ---- */

static rl_code lock_chain(struct rl_db *db, const char *replica, struct rl_error *err)
{
    return rl_exec(db, NULL, err, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                   rl_param_text(replica));
}

static rl_code take_head(struct insertion *in, struct rl_rows *rows, struct rl_error *err)
{
    struct rl_span hash = rl_row_bytes(rows, 0, 2);
    if (rl_row_int(rows, 0, 0) > in->received_ns)
        in->received_ns = rl_row_int(rows, 0, 0);
    in->sequence = rl_row_int(rows, 0, 1);
    if (hash.n == RL_LEDGER_HASH_BYTES)
        memcpy(in->columns.hashes[0], hash.p, RL_LEDGER_HASH_BYTES);
    return rl_rows_check(rows, err);
}

/* A statement after the lock's own, so that it sees what the one before committed. Looked for in
 * the last day first: planning a query over every partition there is costs more than the rest. A
 * chain of which retention has dropped everything goes on where its last tombstone says. */
static rl_code read_head(struct rl_db *db, struct insertion *in, struct rl_error *err)
{
    static const char *const queries[] = {
        "SELECT received_ns, sequence, hash FROM events WHERE replica = $1::uuid"
        " AND received_ns >= $2 ORDER BY received_ns DESC, sequence DESC LIMIT 1",
        "SELECT received_ns, sequence, hash FROM events WHERE replica = $1::uuid"
        " AND received_ns < $2 ORDER BY received_ns DESC, sequence DESC LIMIT 1",
        "SELECT 0::bigint, last_sequence, hash FROM tombstones WHERE replica = $1::uuid"
        " AND $2::bigint IS NOT NULL ORDER BY day DESC LIMIT 1",
    };
    int64_t recent_ns = in->now_ns - RL_AUDIT_DAY_NS;
    rl_code rc = RL_OK;
    in->received_ns = in->now_ns;
    in->sequence = 0;
    memset(in->columns.hashes[0], 0, RL_LEDGER_HASH_BYTES);
    for (size_t i = 0; rc == RL_OK && !in->sequence && i < RL_COUNT(queries); i++) {
        struct rl_rows *rows = NULL;
        rc = rl_query(db, &rows, err, queries[i], rl_param_text(in->replica),
                      rl_param_int(recent_ns));
        if (rc == RL_OK && rl_rows_count(rows) == 1)
            rc = take_head(in, rows, err);
        rl_rows_free(&rows);
    }
    return rc;
}

/* ---- which are new ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The first entry with a uid that was put in is new; any other with it repeats it. */
static void mark_repeated(struct insertion *in, const char **fresh, size_t count)
{
    qsort(fresh, count, sizeof *fresh, compare_texts);
    bool *is_taken = rl_alloc_array(count + 1, sizeof *is_taken);
    for (size_t i = 0; i < in->count; i++) {
        const char *uid = in->entries[i].event->uid;
        const char **found = bsearch(&uid, fresh, count, sizeof *fresh, compare_texts);
        bool is_new = found && !is_taken[found - fresh];
        if (is_new)
            is_taken[found - fresh] = true;
        in->entries[i].is_repeated = !is_new;
    }
    free(is_taken);
}

/* In order of the uids, so that replicas that get the same ones do not lock crosswise. */
static rl_code claim_uids(struct rl_db *db, struct insertion *in, struct rl_error *err)
{
    const char *uids[RL_AUDIT_INSERT_MAX], *fresh[RL_AUDIT_INSERT_MAX];
    for (size_t i = 0; i < in->count; i++)
        uids[i] = in->entries[i].event->uid;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "INSERT INTO uids (uid, received_ns)"
                          " SELECT DISTINCT u, $2 FROM unnest($1::text[]::uuid[]) u ORDER BY u"
                          " ON CONFLICT DO NOTHING RETURNING uid",
                          rl_param_texts(uids, in->count), rl_param_int(in->received_ns));
    if (rc != RL_OK)
        return rc;
    size_t count = rl_rows_count(rows);
    for (size_t i = 0; i < count; i++)
        fresh[i] = rl_row_text(rows, i, 0);
    rc = rl_rows_check(rows, err);
    if (rc == RL_OK)
        mark_repeated(in, fresh, count);
    rl_rows_free(&rows);
    return rc;
}

/* ---- rows ---- */

static struct rl_span pack(const Pb__Event *event)
{
    size_t n = pb__event__get_packed_size(event);
    uint8_t *p = rl_alloc(n);
    pb__event__pack(event, p);
    return RL_SPAN(p, n);
}

static void add_row(struct insertion *in, const struct rl_audit_entry *entry)
{
    struct columns *c = &in->columns;
    size_t i = c->count++;
    Pb__Event stamped = *entry->event; /* the strings stay the request's */
    stamped.received_ns = in->received_ns;
    stamped.sender_kind = (char *)(uintptr_t)entry->sender_kind;
    stamped.sender_id = (char *)(uintptr_t)entry->sender_id;
    stamped.clock_is_wrong = rl_audit_clock_is_wrong(stamped.time_ns, in->received_ns);
    c->uids[i] = stamped.uid;
    c->types[i] = stamped.type;
    c->users[i] = stamped.user;
    /* a user without a cluster is the event's own */
    c->user_clusters[i] = stamped.user_cluster[0] ? stamped.user_cluster : stamped.cluster;
    c->sessions[i] = stamped.session_id;
    c->at_ns[i] = stamped.clock_is_wrong ? in->received_ns : stamped.time_ns;
    c->sequences[i] = ++in->sequence;
    c->packed[i] = pack(&stamped);
    rl_ledger_hash(c->hashes[i], in->replica, in->sequence, c->packed[i], c->hashes[i + 1]);
    c->prev_hashes[i] = RL_SPAN(c->hashes[i], RL_LEDGER_HASH_BYTES);
    c->new_hashes[i] = RL_SPAN(c->hashes[i + 1], RL_LEDGER_HASH_BYTES);
}

static void drop_rows(struct columns *c)
{
    for (size_t i = 0; i < c->count; i++)
        free((void *)(uintptr_t)c->packed[i].p);
    c->count = 0;
}

static rl_code insert_rows(struct rl_db *db, const struct insertion *in, struct rl_error *err)
{
    const struct columns *c = &in->columns;
    return rl_exec(
        db, NULL, err,
        "INSERT INTO events (uid, at_ns, received_ns, type, user_name, user_cluster, session_id,"
        " replica, sequence, prev_hash, hash, packed)"
        " SELECT uid::uuid, at_ns, $1, type, user_name, user_cluster, session_id, $2::uuid,"
        " sequence, prev_hash, hash, packed"
        " FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS row (uid, at_ns, type,"
        " user_name, user_cluster, session_id, sequence, prev_hash, hash, packed)",
        rl_param_int(in->received_ns), rl_param_text(in->replica),
        rl_param_texts(c->uids, c->count), rl_param_ints(c->at_ns, c->count),
        rl_param_texts(c->types, c->count), rl_param_texts(c->users, c->count),
        rl_param_texts(c->user_clusters, c->count), rl_param_texts(c->sessions, c->count),
        rl_param_ints(c->sequences, c->count), rl_param_bytes_list(c->prev_hashes, c->count),
        rl_param_bytes_list(c->new_hashes, c->count), rl_param_bytes_list(c->packed, c->count));
}

static rl_code insert(struct rl_db *db, void *context, struct rl_error *err)
{
    struct insertion *in = context;
    rl_code rc = lock_chain(db, in->replica, err);
    if (rc == RL_OK)
        rc = read_head(db, in, err);
    if (rc == RL_OK)
        rc = claim_uids(db, in, err);
    if (rc != RL_OK)
        return rc;
    for (size_t i = 0; i < in->count; i++)
        if (!in->entries[i].is_repeated)
            add_row(in, &in->entries[i]);
    if (in->columns.count)
        rc = insert_rows(db, in, err);
    drop_rows(&in->columns);
    return rc;
}

rl_code rl_audit_insert_within(struct rl_db *db, const char *replica, int64_t now_ns,
                               struct rl_audit_entry *entries, size_t count, struct rl_error *err)
{
    RL_ASSERT(count > 0 && count <= RL_AUDIT_INSERT_MAX);
    struct insertion *in = rl_alloc(sizeof *in);
    *in = (struct insertion){
        .replica = replica, .now_ns = now_ns, .entries = entries, .count = count};
    rl_code rc = insert(db, in, err);
    free(in);
    return rc;
}

rl_code rl_audit_insert(struct rl_store *store, const char *replica, int64_t now_ns,
                        struct rl_audit_entry *entries, size_t count, struct rl_error *err)
{
    RL_ASSERT(count > 0 && count <= RL_AUDIT_INSERT_MAX);
    struct insertion *in = rl_alloc(sizeof *in);
    *in = (struct insertion){
        .replica = replica, .now_ns = now_ns, .entries = entries, .count = count};
    rl_code rc = rl_store_transaction(store, insert, in, err);
    free(in);
    return rc;
}

/* ---- replicas ---- */

struct replica {
    const char *id;
    int64_t now_ns;
};

static rl_code add_replica(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct replica *replica = context;
    return rl_exec(db, NULL, err,
                   "INSERT INTO replicas (replica, first_ns) VALUES ($1::uuid, $2)"
                   " ON CONFLICT DO NOTHING",
                   rl_param_text(replica->id), rl_param_int(replica->now_ns));
}

rl_code rl_audit_register_replica(struct rl_store *store, const char *replica, int64_t now_ns,
                                  struct rl_error *err)
{
    struct replica context = {replica, now_ns};
    return rl_store_transaction(store, add_replica, &context, err);
}
