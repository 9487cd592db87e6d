/* changes: each reading is one statement, so that its rows, its counts and its horizon are of one
 * moment. */
#include "db/changes.h"

#include "db/labels.h"
#include "message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Comes with each row, and alone when there is none. A server that was restored or took over from
 * another has started since; tables that were restored have other oids. */
#define HEAD                                                                                       \
    "SELECT h.*, c.* FROM (SELECT pg_postmaster_start_time()::text"                                \
    " || ' ' || (SELECT oid FROM pg_database WHERE datname = current_database())"                  \
    " || ' ' || 'instances'::regclass::oid || ' ' || 'attachments'::regclass::oid,"                \
    " pg_snapshot_xmin(pg_current_snapshot())::text, now(),"                                       \
    " (SELECT count(*) FROM instances), (SELECT count(*) FROM attachments WHERE is_attached)) h"
#define COLUMNS                                                                                    \
    "SELECT i.id, i.name, i.hostname, i.mode, i.version, 'node' = ANY (i.agent_kinds),"            \
    " i.last_seen, i.own_label_keys, i.own_label_values, i.token_label_keys,"                      \
    " i.token_label_values"
enum column {
    INCARNATION,
    HORIZON,
    NOW,
    INSTANCES,
    ATTACHED,
    ID,
    NAME,
    HOSTNAME,
    MODE,
    VERSION,
    IS_NODE,
    LAST_SEEN,
    OWN_LABELS,
    TOKEN_LABELS = OWN_LABELS + 2,
    HOLDERS = TOKEN_LABELS + 2,
};

/* By one join for all: to look for the holders of each is dear when there are thousands. */
static const char all_sql[] =
    HEAD " LEFT JOIN (" COLUMNS ", a.holders FROM instances i LEFT JOIN"
         "  (SELECT agent_id, array_agg(holder_id::text) AS holders FROM attachments"
         "   WHERE is_attached GROUP BY agent_id) a ON a.agent_id = i.id) c ON true";

/* Numbers of transactions go in a circle: ages are compared, as PostgreSQL does. */
#define IS_NEW(row) "age(" row ".xmin) <= (SELECT age($1::xid8::xid))"
static const char since_sql[] =
    HEAD " LEFT JOIN (" COLUMNS ", ARRAY (SELECT a.holder_id::text FROM attachments a"
         "   WHERE a.agent_id = i.id AND a.is_attached) FROM instances i WHERE " IS_NEW(
             "i") " OR i.id IN (SELECT a.agent_id FROM attachments a WHERE " IS_NEW("a") ")) c"
                                                                                         " ON"
                                                                                         " true";

static char *text_of(struct rl_rows *rows, size_t row, enum column column)
{
    const char *text = rl_row_text(rows, row, column);
    return rl_strdup(text ? text : "");
}

static void take_row(struct rl_rows *rows, size_t row, struct rl_changed_row *out)
{
    out->id = text_of(rows, row, ID);
    out->name = text_of(rows, row, NAME);
    out->hostname = text_of(rows, row, HOSTNAME);
    out->mode = text_of(rows, row, MODE);
    out->version = text_of(rows, row, VERSION);
    out->is_node = rl_row_bool(rows, row, IS_NODE);
    out->last_seen_ns = rl_row_time(rows, row, LAST_SEEN);
    rl_labels_of_row(rows, row, OWN_LABELS, &out->labels, &out->label_count);
    rl_labels_of_row(rows, row, TOKEN_LABELS, &out->labels, &out->label_count);
    rl_texts_of_row(rows, row, HOLDERS, &out->holders, &out->holder_count);
}

static void take_head(struct rl_rows *rows, struct rl_changes *out)
{
    const char *horizon = rl_row_text(rows, 0, HORIZON);
    out->incarnation = text_of(rows, 0, INCARNATION);
    snprintf(out->horizon, sizeof out->horizon, "%s", horizon ? horizon : "");
    out->now_ns = rl_row_time(rows, 0, NOW);
    out->instances = (size_t)rl_row_int(rows, 0, INSTANCES);
    out->attached = (size_t)rl_row_int(rows, 0, ATTACHED);
}

rl_code rl_changes_read(struct rl_db *db, const char *since, struct rl_changes *out,
                        struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_changes_fini(out);
    rl_code rc = since ? rl_query(db, &rows, err, since_sql, rl_param_text(since))
                       : rl_query(db, &rows, err, all_sql);
    if (rc != RL_OK)
        return rc;
    size_t count = rl_rows_count(rows);
    if (count == 1 && rl_row_is_null(rows, 0, ID))
        count = 0;
    take_head(rows, out);
    out->rows = rl_alloc_array(count, sizeof *out->rows);
    for (; out->row_count < count; out->row_count++)
        take_row(rows, out->row_count, &out->rows[out->row_count]);
    rc = rl_rows_check(rows, err);
    rl_rows_free(&rows);
    return rc == RL_OK ? rl_leases_list(db, &out->leases, &out->lease_count, err) : rc;
}

static void row_fini(struct rl_changed_row *row)
{
    char *const texts[] = {row->id, row->name, row->hostname, row->mode, row->version};
    for (size_t i = 0; i < RL_COUNT(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < row->holder_count; i++)
        free(row->holders[i]);
    free(row->holders);
    rl_labels_free(&row->labels, &row->label_count);
}

void rl_changes_fini(struct rl_changes *changes)
{
    for (size_t i = 0; i < changes->row_count; i++)
        row_fini(&changes->rows[i]);
    free(changes->rows);
    rl_leases_free(&changes->leases, changes->lease_count);
    free(changes->incarnation);
    *changes = (struct rl_changes){0};
}
