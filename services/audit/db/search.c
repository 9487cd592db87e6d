/* search: the queries. Time selects partitions: an event's time is at most an hour before its
 * receipt and five minutes after it, or it would be filed under the receipt (judge.h).
 */
#include "search.h"

#include "../judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A chain that was silent for so long has nothing under way; also more than clocks of replicas
 * differ. */
#define QUIET_NS (3600 * INT64_C(1000000000))

#define FIRST_UID "00000000-0000-0000-0000-000000000000"
#define FILTER                                                                                     \
    " at_ns BETWEEN $1 AND $2 AND received_ns BETWEEN $3 AND $4"                                   \
    " AND ($5::text[] IS NULL OR type = ANY ($5::text[])"                                          \
    "  OR EXISTS (SELECT FROM unnest($6::text[]) f WHERE starts_with(type, f)))"                   \
    " AND ($7::text IS NULL OR user_name = $7::text)"                                              \
    " AND ($8::text IS NULL OR session_id = $8::text)"                                             \
    " AND ($9::text IS NULL OR (user_name = $9::text AND user_cluster = $10::text))"
#define FILTER_PARAMS 10

static int64_t plus(int64_t time_ns, int64_t by)
{
    int64_t sum;
    return __builtin_add_overflow(time_ns, by, &sum) ? (by < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static struct rl_param text_or_null(const char *text)
{
    return text && *text ? rl_param_text(text) : rl_param_null();
}

static void put_filter(const struct rl_audit_filter *f, struct rl_param params[FILTER_PARAMS])
{
    bool any_type = !f->type_count && !f->family_count;
    params[0] = rl_param_int(f->from_ns);
    params[1] = rl_param_int(f->to_ns);
    params[2] = rl_param_int(plus(f->from_ns, -RL_AUDIT_EARLY_NS_MAX));
    params[3] = rl_param_int(plus(f->to_ns, RL_AUDIT_LATE_NS_MAX));
    params[4] = any_type ? rl_param_null() : rl_param_texts(f->types, f->type_count);
    params[5] = any_type ? rl_param_null() : rl_param_texts(f->families, f->family_count);
    params[6] = text_or_null(f->user);
    params[7] = text_or_null(f->session_id);
    params[8] = text_or_null(f->own_user);
    params[9] = text_or_null(f->own_cluster);
}

/* One query's input and output, for all of them. */
struct reading {
    const struct rl_audit_filter *filter;
    const struct rl_audit_heads *heads; /* may be NULL */
    struct rl_audit_place *place;
    struct rl_audit_page *page;
    uint32_t limit;
    bool more;
    int64_t now_ns;
    struct rl_audit_heads now, read; /* of chains: where they are, and what is read of them */
};

/* ---- pages ---- */

void rl_audit_page_clear(struct rl_audit_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        pb__event__free_unpacked(page->events[i], NULL);
    page->count = 0;
}

/* Column 0 of each row. */
static rl_code take_events(struct rl_rows *rows, struct rl_audit_page *page, struct rl_error *err)
{
    rl_audit_page_clear(page);
    for (size_t i = 0; i < rl_rows_count(rows) && page->count < RL_AUDIT_PAGE_EVENTS; i++) {
        struct rl_span packed = rl_row_bytes(rows, i, 0);
        Pb__Event *event = pb__event__unpack(NULL, packed.n, packed.p);
        if (!event)
            return rl_fail(err, RL_E_DATA_LOSS, "event %s cannot be read", rl_row_text(rows, i, 1));
        page->events[page->count++] = event;
    }
    return rl_rows_check(rows, err);
}

static void set_place(struct rl_audit_place *place, int64_t at_ns, const char *uid)
{
    place->at_ns = at_ns;
    snprintf(place->uid, sizeof place->uid, "%s", uid ? uid : "");
}

/* ---- where the newest begin ---- */

static rl_code find_start(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    struct rl_param params[FILTER_PARAMS + 1];
    struct rl_rows *rows = NULL;
    put_filter(r->filter, params);
    params[FILTER_PARAMS] = rl_param_int(r->limit);
    rl_code rc = rl_query_planned(db,
                                  "SELECT at_ns, uid FROM events WHERE" FILTER
                                  " ORDER BY at_ns DESC, uid DESC OFFSET $11 LIMIT 1",
                                  params, RL_COUNT(params), &rows, err);
    if (rc != RL_OK)
        return rc;
    r->more = rl_rows_count(rows) == 1;
    if (r->more)
        set_place(r->place, rl_row_int(rows, 0, 0), rl_row_text(rows, 0, 1));
    else
        set_place(r->place, r->filter->from_ns, FIRST_UID);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_find_start(struct rl_store *store, const struct rl_audit_filter *filter,
                            uint32_t limit, struct rl_audit_place *place, bool *more,
                            struct rl_error *err)
{
    struct reading r = {.filter = filter, .place = place, .limit = limit};
    if (limit == RL_AUDIT_SEARCH_ALL) {
        set_place(place, filter->from_ns, FIRST_UID);
        *more = false;
        return RL_OK;
    }
    rl_code rc = rl_store_transaction(store, find_start, &r, err);
    if (rc == RL_OK)
        *more = r.more;
    return rc;
}

/* ---- heads as parameters ---- */

struct head_columns {
    const char **replicas;
    int64_t *received_ns, *sequences;
    size_t count;
};

static void head_columns_init(struct head_columns *c, const struct rl_audit_heads *heads)
{
    c->count = heads ? heads->count : 0;
    c->replicas = rl_alloc_array(c->count + 1, sizeof *c->replicas);
    c->received_ns = rl_alloc_array(c->count + 1, sizeof *c->received_ns);
    c->sequences = rl_alloc_array(c->count + 1, sizeof *c->sequences);
    for (size_t i = 0; i < c->count; i++) {
        c->replicas[i] = heads->items[i].replica;
        c->received_ns[i] = heads->items[i].received_ns;
        c->sequences[i] = heads->items[i].sequence;
    }
}

static void head_columns_fini(struct head_columns *c)
{
    free(c->replicas);
    free(c->received_ns);
    free(c->sequences);
}

static void put_heads(const struct head_columns *c, struct rl_param params[3])
{
    params[0] = rl_param_texts(c->replicas, c->count);
    params[1] = rl_param_ints(c->received_ns, c->count);
    params[2] = rl_param_ints(c->sequences, c->count);
}

/* ---- a page ---- */

static rl_code read_page(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    struct rl_audit_filter rest = *r->filter;
    struct rl_param params[FILTER_PARAMS + 5];
    struct head_columns heads;
    struct rl_rows *rows = NULL;
    rest.from_ns = r->place->at_ns;
    put_filter(&rest, params);
    head_columns_init(&heads, r->heads);
    params[FILTER_PARAMS] = rl_param_text(r->place->uid);
    params[FILTER_PARAMS + 1] = rl_param_int(r->heads ? r->heads->began_ns : INT64_MAX);
    put_heads(&heads, params + FILTER_PARAMS + 2);
    rl_code rc = rl_query_planned(
        db,
        "SELECT packed, uid, at_ns FROM events e WHERE" FILTER " AND (at_ns, uid) > ($1, $11::uuid)"
        " AND (received_ns < $12 OR EXISTS (SELECT FROM unnest($13::text[]::uuid[], $14, $15)"
        "  AS h (replica, received_ns, sequence) WHERE h.replica = e.replica"
        "  AND (e.received_ns, e.sequence) <= (h.received_ns, h.sequence)))"
        " ORDER BY at_ns, uid LIMIT 128",
        params, RL_COUNT(params), &rows, err);
    if (rc == RL_OK)
        rc = take_events(rows, r->page, err);
    if (rc == RL_OK && r->page->count)
        set_place(r->place, rl_row_int(rows, r->page->count - 1, 2),
                  rl_row_text(rows, r->page->count - 1, 1));
    rl_rows_free(&rows);
    head_columns_fini(&heads);
    return rc;
}

rl_code rl_audit_read_page(struct rl_store *store, const struct rl_audit_filter *filter,
                           const struct rl_audit_heads *heads, struct rl_audit_place *place,
                           struct rl_audit_page *page, struct rl_error *err)
{
    struct rl_audit_place next = *place;
    struct reading r = {.filter = filter, .heads = heads, .place = &next, .page = page};
    rl_code rc = rl_store_transaction(store, read_page, &r, err);
    if (rc == RL_OK)
        *place = next;
    return rc;
}

/* ---- heads ---- */

void rl_audit_heads_fini(struct rl_audit_heads *heads)
{
    free(heads->items);
    *heads = (struct rl_audit_heads){0};
}

static rl_code read_heads(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    struct rl_rows *rows = NULL;
    int64_t since_ns = r->now_ns - QUIET_NS;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT r.replica, h.received_ns, h.sequence FROM replicas r"
                          " CROSS JOIN LATERAL (SELECT received_ns, sequence FROM events e"
                          "  WHERE e.replica = r.replica AND e.received_ns >= $1"
                          "  ORDER BY received_ns DESC, sequence DESC LIMIT 1) h LIMIT $2",
                          rl_param_int(since_ns), rl_param_int(RL_AUDIT_REPLICAS_MAX));
    if (rc != RL_OK)
        return rc;
    rl_audit_heads_fini(&r->now);
    r->now.began_ns = since_ns;
    r->now.count = rl_rows_count(rows);
    r->now.items = rl_alloc_array(r->now.count + 1, sizeof *r->now.items);
    for (size_t i = 0; i < r->now.count; i++) {
        struct rl_audit_head *head = &r->now.items[i];
        snprintf(head->replica, sizeof head->replica, "%s", rl_row_text(rows, i, 0));
        head->received_ns = rl_row_int(rows, i, 1);
        head->sequence = rl_row_int(rows, i, 2);
    }
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc;
}

rl_code rl_audit_read_heads(struct rl_store *store, int64_t now_ns, struct rl_audit_heads *heads,
                            struct rl_error *err)
{
    struct reading r = {.now_ns = now_ns};
    rl_code rc = rl_store_transaction(store, read_heads, &r, err);
    if (rc == RL_OK) {
        rl_audit_heads_fini(heads);
        *heads = r.now;
    } else {
        rl_audit_heads_fini(&r.now);
    }
    return rc;
}

/* ---- news ---- */

static struct rl_audit_head *find_head(const struct rl_audit_heads *heads, const char *replica)
{
    for (size_t i = 0; i < heads->count; i++)
        if (strcmp(heads->items[i].replica, replica) == 0)
            return &heads->items[i];
    return NULL;
}

/* For each chain of `now`: what is read of it. One that is not in `heads` began after they were
 * read, or was silent until then. */
static void lay_out_read(struct reading *r)
{
    rl_audit_heads_fini(&r->read);
    r->read.began_ns = r->heads->began_ns;
    r->read.count = r->now.count;
    r->read.items = rl_alloc_array(r->now.count + 1, sizeof *r->read.items);
    for (size_t i = 0; i < r->now.count; i++) {
        const struct rl_audit_head *known = find_head(r->heads, r->now.items[i].replica);
        r->read.items[i] = r->now.items[i];
        r->read.items[i].received_ns = known ? known->received_ns : r->heads->began_ns;
        r->read.items[i].sequence = known ? known->sequence : 0;
    }
}

static rl_code query_news(struct rl_db *db, struct reading *r, struct rl_rows **rows,
                          struct rl_error *err)
{
    struct rl_param params[FILTER_PARAMS + 6];
    struct head_columns read, now;
    int64_t least_ns = INT64_MAX;
    for (size_t i = 0; i < r->read.count; i++)
        if (r->read.items[i].received_ns < least_ns)
            least_ns = r->read.items[i].received_ns;
    head_columns_init(&read, &r->read);
    head_columns_init(&now, &r->now);
    put_filter(r->filter, params);
    params[2] = rl_param_int(least_ns);
    put_heads(&read, params + FILTER_PARAMS);
    put_heads(&now, params + FILTER_PARAMS + 3);
    rl_code rc = rl_query_planned(
        db,
        "SELECT e.packed, e.uid, e.replica, e.received_ns, e.sequence"
        " FROM unnest($11::text[]::uuid[], $12, $13, $14::text[]::uuid[], $15, $16)"
        "  AS h (replica, read_ns, read_sequence, same, now_ns, now_sequence)"
        " CROSS JOIN LATERAL (SELECT * FROM events WHERE replica = h.replica"
        "  AND received_ns BETWEEN h.read_ns AND h.now_ns"
        "  AND (received_ns, sequence) > (h.read_ns, h.read_sequence)"
        "  AND (received_ns, sequence) <= (h.now_ns, h.now_sequence)"
        "  AND" FILTER " ORDER BY received_ns, sequence LIMIT 128) e"
        " ORDER BY e.received_ns, e.replica, e.sequence LIMIT 128",
        params, RL_COUNT(params), rows, err);
    head_columns_fini(&read);
    head_columns_fini(&now);
    return rc;
}

/* A full page: each chain is read as far as its last event here. Else all is read. */
static void move_on(struct reading *r, struct rl_rows *rows)
{
    r->more = r->page->count == RL_AUDIT_PAGE_EVENTS;
    for (size_t i = 0; r->more && i < r->page->count; i++) {
        struct rl_audit_head *head = find_head(&r->read, rl_row_text(rows, i, 2));
        if (head) {
            head->received_ns = rl_row_int(rows, i, 3);
            head->sequence = rl_row_int(rows, i, 4);
        }
    }
    for (size_t i = 0; !r->more && i < r->read.count; i++)
        r->read.items[i] = r->now.items[i];
}

static rl_code read_news(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    struct rl_rows *rows = NULL;
    rl_code rc = read_heads(db, r, err);
    if (rc != RL_OK)
        return rc;
    lay_out_read(r);
    rc = query_news(db, r, &rows, err);
    if (rc == RL_OK)
        rc = take_events(rows, r->page, err);
    if (rc == RL_OK)
        move_on(r, rows);
    rl_rows_free(&rows);
    return rc;
}

/* Chains that were silent for an hour are in `heads` still, unless there are too many. */
static void merge_heads(struct rl_audit_heads *heads, const struct rl_audit_heads *read)
{
    for (size_t i = 0; i < read->count; i++) {
        struct rl_audit_head *known = find_head(heads, read->items[i].replica);
        if (!known && heads->count < RL_AUDIT_REPLICAS_MAX) {
            struct rl_audit_head *items = rl_alloc_array(heads->count + 1, sizeof *items);
            if (heads->count)
                memcpy(items, heads->items, heads->count * sizeof *items);
            free(heads->items);
            heads->items = items;
            known = &heads->items[heads->count++];
        }
        if (known)
            *known = read->items[i];
    }
}

rl_code rl_audit_read_news(struct rl_store *store, const struct rl_audit_filter *filter,
                           int64_t now_ns, struct rl_audit_heads *heads, struct rl_audit_page *page,
                           bool *more, struct rl_error *err)
{
    struct reading r = {.filter = filter, .heads = heads, .page = page, .now_ns = now_ns};
    rl_code rc = rl_store_transaction(store, read_news, &r, err);
    if (rc == RL_OK) {
        merge_heads(heads, &r.read);
        *more = r.more;
    }
    rl_audit_heads_fini(&r.now);
    rl_audit_heads_fini(&r.read);
    return rc;
}
