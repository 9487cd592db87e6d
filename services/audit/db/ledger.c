/* ledger: read as it is: what does not fit together is for the verifier to find, not for us. */
#include "ledger.h"

#include "search.h"

#include <stdlib.h>
#include <string.h>

static ProtobufCBinaryData copy_of(struct rl_span bytes)
{
    ProtobufCBinaryData copy = {bytes.n, bytes.n ? rl_alloc(bytes.n) : NULL};
    if (bytes.n)
        memcpy(copy.data, bytes.p, bytes.n);
    return copy;
}

/* ---- heads ---- */

struct heads {
    Pb__ChainHead *const *known;
    size_t known_count;
    int64_t since_ns;
    Pb__HeadsResponse *reply;
};

static Pb__ChainHead *head_of(struct rl_rows *rows, size_t row)
{
    Pb__ChainHead *head = rl_alloc(sizeof *head);
    pb__chain_head__init(head);
    head->replica = rl_strdup(rl_row_text(rows, row, 0));
    head->sequence = (uint64_t)rl_row_int(rows, row, 1);
    head->received_ns = rl_row_int(rows, row, 2);
    if (!rl_row_is_null(rows, row, 3))
        head->hash = copy_of(rl_row_bytes(rows, row, 3));
    return head;
}

static void clear(Pb__ChainHead ***heads, size_t *count)
{
    while (*count)
        pb__chain_head__free_unpacked((*heads)[--*count], NULL);
    free(*heads);
    *heads = NULL;
}

static rl_code read_known(struct rl_db *db, struct heads *h, struct rl_error *err)
{
    const char *replicas[RL_LEDGER_HEADS_MAX];
    int64_t sequences[RL_LEDGER_HEADS_MAX], times[RL_LEDGER_HEADS_MAX];
    struct rl_rows *rows = NULL;
    for (size_t i = 0; i < h->known_count; i++) {
        replicas[i] = h->known[i]->replica;
        sequences[i] = (int64_t)h->known[i]->sequence;
        times[i] = h->known[i]->received_ns;
    }
    rl_code rc =
        rl_query(db, &rows, err,
                 "SELECT k.replica, k.sequence, k.received_ns,"
                 " (SELECT e.hash FROM events e WHERE e.replica = k.replica"
                 "  AND e.received_ns = k.received_ns AND e.sequence = k.sequence),"
                 " EXISTS (SELECT FROM tombstones t WHERE t.replica = k.replica"
                 "  AND k.sequence BETWEEN t.first_sequence AND t.last_sequence)"
                 " FROM unnest($1::text[]::uuid[], $2::bigint[], $3::bigint[])"
                 "  AS k (replica, sequence, received_ns) ORDER BY k.replica",
                 rl_param_texts(replicas, h->known_count), rl_param_ints(sequences, h->known_count),
                 rl_param_ints(times, h->known_count));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    h->reply->known = rl_alloc_array(n + 1, sizeof *h->reply->known);
    for (size_t i = 0; i < n; i++) {
        Pb__ChainHead *head = head_of(rows, i);
        head->is_dropped = head->hash.len == 0 && rl_row_bool(rows, i, 4);
        h->reply->known[h->reply->n_known++] = head;
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static rl_code read_recent(struct rl_db *db, struct heads *h, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT r.replica, h.sequence, h.received_ns, h.hash FROM replicas r"
                          " CROSS JOIN LATERAL (SELECT sequence, received_ns, hash FROM events e"
                          "  WHERE e.replica = r.replica AND e.received_ns >= $1"
                          "  ORDER BY received_ns DESC, sequence DESC LIMIT 1) h"
                          " ORDER BY r.replica LIMIT $2",
                          rl_param_int(h->since_ns), rl_param_int(RL_LEDGER_HEADS_MAX));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    h->reply->heads = rl_alloc_array(n + h->known_count + 1, sizeof *h->reply->heads);
    for (size_t i = 0; i < n; i++)
        h->reply->heads[h->reply->n_heads++] = head_of(rows, i);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static bool has(const Pb__HeadsResponse *reply, const char *replica)
{
    for (size_t i = 0; i < reply->n_heads; i++)
        if (strcmp(reply->heads[i]->replica, replica) == 0)
            return true;
    return false;
}

static int by_replica(const void *a, const void *b)
{
    return strcmp((*(Pb__ChainHead *const *)a)->replica, (*(Pb__ChainHead *const *)b)->replica);
}

/* A chain that wrote nothing since is where it was. */
static void add_silent(struct heads *h)
{
    Pb__HeadsResponse *reply = h->reply;
    for (size_t i = 0; i < h->known_count && reply->n_heads < RL_LEDGER_HEADS_MAX; i++) {
        const Pb__ChainHead *known = h->known[i];
        if (has(reply, known->replica))
            continue;
        Pb__ChainHead *head = rl_alloc(sizeof *head);
        pb__chain_head__init(head);
        head->replica = rl_strdup(known->replica);
        head->sequence = known->sequence;
        head->received_ns = known->received_ns;
        head->hash = copy_of(RL_SPAN(known->hash.data, known->hash.len));
        reply->heads[reply->n_heads++] = head;
    }
    qsort(reply->heads, reply->n_heads, sizeof(Pb__ChainHead *), by_replica);
}

static rl_code read_heads(struct rl_db *db, void *context, struct rl_error *err)
{
    struct heads *h = context;
    clear(&h->reply->heads, &h->reply->n_heads); /* of an attempt before */
    clear(&h->reply->known, &h->reply->n_known);
    rl_code rc = read_known(db, h, err);
    if (rc == RL_OK)
        rc = read_recent(db, h, err);
    if (rc == RL_OK)
        add_silent(h);
    return rc;
}

rl_code rl_audit_heads_of(struct rl_store *store, Pb__ChainHead *const *known, size_t known_count,
                          int64_t since_ns, Pb__HeadsResponse *reply, struct rl_error *err)
{
    struct heads h = {known, known_count, since_ns, reply};
    if (known_count > RL_LEDGER_HEADS_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu heads; at most %d", known_count, RL_LEDGER_HEADS_MAX);
    return rl_store_transaction(store, read_heads, &h, err);
}

/* ---- the whole log ---- */

struct reading {
    struct rl_audit_ledger_place *place;
    Pb__LedgerResponse *out;
};

void rl_audit_ledger_place_fini(struct rl_audit_ledger_place *place)
{
    while (place->chain_count)
        free(place->chains[--place->chain_count]);
    free(place->chains);
    *place = (struct rl_audit_ledger_place){0};
}

static rl_code count_partitions(struct rl_db *db, struct reading *r, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass");
    if (rc == RL_OK)
        r->out->partitions = (uint32_t)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

/* Those that have events without being listed too: they are there, so they are looked at. */
static rl_code begin(struct rl_db *db, struct reading *r, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = count_partitions(db, r, err);
    if (rc == RL_OK)
        rc = rl_query(db, &rows, err,
                      "SELECT replica FROM replicas UNION SELECT DISTINCT replica FROM events"
                      " UNION SELECT replica FROM tombstones WHERE replica IS NOT NULL ORDER BY 1");
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    r->place->chains = rl_alloc_array(n + 1, sizeof *r->place->chains);
    for (size_t i = 0; i < n; i++)
        r->place->chains[r->place->chain_count++] = rl_strdup(rl_row_text(rows, i, 0));
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static Pb__SignedTombstone *tombstone_of(struct rl_rows *rows, size_t row)
{
    struct rl_span packed =
        rl_row_is_null(rows, row, 0) ? RL_SPAN(NULL, 0) : rl_row_bytes(rows, row, 0);
    Pb__SignedTombstone *made = pb__signed_tombstone__unpack(NULL, packed.n, packed.p);
    if (!made) { /* it proves nothing, like one that has none */
        made = rl_alloc(sizeof *made);
        pb__signed_tombstone__init(made);
    }
    return made;
}

/* Those of days that are gone. */
static rl_code read_tombstones(struct rl_db *db, struct reading *r, struct rl_error *err)
{
    struct rl_audit_ledger_place *place = r->place;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT s.signed, t.first_sequence FROM tombstones t LEFT JOIN tombstone_signatures s"
        " ON s.day = t.day AND s.replica = t.replica"
        " WHERE t.replica = $1::uuid AND t.first_sequence > $2"
        " AND to_regclass('events_' || to_char(t.day, 'YYYYMMDD')) IS NULL"
        " ORDER BY t.first_sequence LIMIT $3",
        rl_param_text(place->chains[place->chain]), rl_param_int(place->sequence),
        rl_param_int(RL_AUDIT_LEDGER_PAGE));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    r->out->tombstones = rl_alloc_array(n + 1, sizeof *r->out->tombstones);
    for (size_t i = 0; i < n; i++) {
        r->out->tombstones[r->out->n_tombstones++] = tombstone_of(rows, i);
        place->sequence = rl_row_int(rows, i, 1);
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

static Pb__LedgerRecord *record_of(struct rl_rows *rows, size_t row)
{
    Pb__LedgerRecord *record = rl_alloc(sizeof *record);
    pb__ledger_record__init(record);
    record->replica = rl_strdup(rl_row_text(rows, row, 0));
    record->sequence = (uint64_t)rl_row_int(rows, row, 1);
    record->prev_hash = copy_of(rl_row_bytes(rows, row, 2));
    record->hash = copy_of(rl_row_bytes(rows, row, 3));
    record->packed = copy_of(rl_row_bytes(rows, row, 4));
    record->uid = rl_strdup(rl_row_text(rows, row, 5));
    record->at_ns = rl_row_int(rows, row, 6);
    record->received_ns = rl_row_int(rows, row, 7);
    record->type = rl_strdup(rl_row_text(rows, row, 8));
    record->user = rl_strdup(rl_row_text(rows, row, 9));
    record->user_cluster = rl_strdup(rl_row_text(rows, row, 10));
    record->session_id = rl_strdup(rl_row_text(rows, row, 11));
    return record;
}

static rl_code read_records(struct rl_db *db, struct reading *r, struct rl_error *err)
{
    struct rl_audit_ledger_place *place = r->place;
    struct rl_rows *rows = NULL;
    rl_code rc =
        rl_query(db, &rows, err,
                 "SELECT replica, sequence, prev_hash, hash, packed, uid, at_ns, received_ns, type,"
                 " user_name, user_cluster, session_id FROM events WHERE replica = $1::uuid"
                 " AND received_ns >= $2 AND (received_ns, sequence) > ($2, $3)"
                 " ORDER BY received_ns, sequence LIMIT $4",
                 rl_param_text(place->chains[place->chain]), rl_param_int(place->received_ns),
                 rl_param_int(place->sequence), rl_param_int(RL_AUDIT_LEDGER_PAGE));
    if (rc != RL_OK)
        return rc;
    size_t n = rl_rows_count(rows);
    r->out->records = rl_alloc_array(n + 1, sizeof *r->out->records);
    for (size_t i = 0; i < n; i++) {
        Pb__LedgerRecord *record = record_of(rows, i);
        r->out->records[r->out->n_records++] = record;
        place->received_ns = record->received_ns;
        place->sequence = (int64_t)record->sequence;
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

/* On to the chain's records, or to the next chain. */
static void move_on(struct rl_audit_ledger_place *place)
{
    place->chain += place->in_records;
    place->in_records = !place->in_records;
    place->received_ns = place->sequence = place->in_records ? INT64_MIN : 0;
}

static bool is_empty(const Pb__LedgerResponse *out)
{
    return out->n_records == 0 && out->n_tombstones == 0;
}

static void renew(struct reading *r)
{
    if (r->out)
        pb__ledger_response__free_unpacked(r->out, NULL);
    r->out = rl_alloc(sizeof *r->out);
    pb__ledger_response__init(r->out);
}

static rl_code read_next(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    struct rl_audit_ledger_place *place = r->place;
    renew(r);
    if (!place->chains)
        return begin(db, r, err);
    rl_code rc = RL_OK;
    while (rc == RL_OK && place->chain < place->chain_count) {
        renew(r);
        rc = place->in_records ? read_records(db, r, err) : read_tombstones(db, r, err);
        if (rc != RL_OK || !is_empty(r->out))
            return rc;
        move_on(place);
    }
    pb__ledger_response__free_unpacked(r->out, NULL);
    r->out = NULL;
    return rc;
}

rl_code rl_audit_read_ledger(struct rl_store *store, struct rl_audit_ledger_place *place,
                             Pb__LedgerResponse **out, struct rl_error *err)
{
    struct reading r = {.place = place};
    rl_code rc = rl_store_transaction(store, read_next, &r, err);
    if (rc == RL_OK)
        *out = r.out;
    else if (r.out)
        pb__ledger_response__free_unpacked(r.out, NULL);
    return rc;
}

/* ---- tombstones to be signed ---- */

struct unsigned_list {
    const char *cluster;
    Pb__Tombstone **items;
    size_t count;
};

static void free_tombstones(Pb__Tombstone ***items, size_t *count)
{
    while (*count)
        pb__tombstone__free_unpacked((*items)[--*count], NULL);
    free(*items);
    *items = NULL;
}

static rl_code list_unsigned(struct rl_db *db, void *context, struct rl_error *err)
{
    struct unsigned_list *list = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(
        db, &rows, err,
        "SELECT (t.day - date '1970-01-01')::bigint, t.replica, t.events, t.first_sequence,"
        " t.last_sequence, t.prev_hash, t.hash FROM tombstones t WHERE t.replica IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM tombstone_signatures s"
        "  WHERE s.day = t.day AND s.replica = t.replica) ORDER BY t.day, t.replica LIMIT $1",
        rl_param_int(RL_AUDIT_TOMBSTONES_MAX));
    if (rc != RL_OK)
        return rc;
    free_tombstones(&list->items, &list->count);
    size_t n = rl_rows_count(rows);
    list->items = rl_alloc_array(n + 1, sizeof *list->items);
    for (size_t i = 0; i < n; i++) {
        Pb__Tombstone *t = rl_alloc(sizeof *t);
        pb__tombstone__init(t);
        t->cluster = rl_strdup(list->cluster);
        t->day = rl_row_int(rows, i, 0);
        t->replica = rl_strdup(rl_row_text(rows, i, 1));
        t->events = (uint64_t)rl_row_int(rows, i, 2);
        t->first_sequence = (uint64_t)rl_row_int(rows, i, 3);
        t->last_sequence = (uint64_t)rl_row_int(rows, i, 4);
        t->prev_hash = copy_of(rl_row_bytes(rows, i, 5));
        t->hash = copy_of(rl_row_bytes(rows, i, 6));
        list->items[list->count++] = t;
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_unsigned_tombstones(struct rl_store *store, const char *cluster,
                                     Pb__Tombstone ***out, size_t *count, struct rl_error *err)
{
    struct unsigned_list list = {cluster, NULL, 0};
    rl_code rc = rl_store_transaction(store, list_unsigned, &list, err);
    if (rc != RL_OK) {
        free_tombstones(&list.items, &list.count);
        return rc;
    }
    *out = list.items;
    *count = list.count;
    return RL_OK;
}

struct keeping {
    const Pb__Tombstone *tombstone;
    struct rl_span packed;
};

static rl_code keep(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct keeping *k = context;
    return rl_exec(db, NULL, err,
                   "INSERT INTO tombstone_signatures (day, replica, signed)"
                   " VALUES (date '1970-01-01' + $1::integer, $2::uuid, $3) ON CONFLICT DO NOTHING",
                   rl_param_int(k->tombstone->day), rl_param_text(k->tombstone->replica),
                   rl_param_bytes(k->packed));
}

rl_code rl_audit_keep_signature(struct rl_store *store, const Pb__Tombstone *tombstone,
                                const Pb__SignedTombstone *signature, struct rl_error *err)
{
    size_t n = pb__signed_tombstone__get_packed_size(signature);
    uint8_t *packed = rl_alloc(n + 1);
    pb__signed_tombstone__pack(signature, packed);
    struct keeping k = {tombstone, RL_SPAN(packed, n)};
    rl_code rc = rl_store_transaction(store, keep, &k, err);
    free(packed);
    return rc;
}
