/* errors: SQLSTATEs as codes. A message carries PostgreSQL's first sentence and never its DETAIL,
 * which quotes whole rows.
 */
#include "store/internal.h"

#include <string.h>

struct meaning {
    const char *sqlstate; /* the beginning of it; the first that fits counts */
    rl_code code;
    enum retry retry;
    const char *says;
};

/* Source: PostgreSQL 15, appendix A. */
static const struct meaning meanings[] = {
    {"23505", RL_E_EXISTS, RETRY_NO, "it is there already"},
    {"23P01", RL_E_EXISTS, RETRY_NO, "it is there already"},
    {"23503", RL_E_PRECONDITION, RETRY_NO, "what it refers to is not there, or is still in use"},
    {"23", RL_E_INVAL, RETRY_NO, "the value is not allowed"},
    {"22", RL_E_INVAL, RETRY_NO, "the value does not fit"},
    {"40003", RL_E_UNKNOWN, RETRY_NO, "whether it was done is not known"},
    {"40", RL_E_ABORTED, RETRY_RACE, "another transaction came first"},
    {"55P03", RL_E_ABORTED, RETRY_NO, "another transaction holds a lock on it"},
    {"42501", RL_E_DENIED, RETRY_NO, "the database role may not do that"},
    {"25006", RL_E_UNAVAILABLE, RETRY_LOST, "PostgreSQL takes no writes now"}, /* a standby */
    {"57014", RL_E_DEADLINE, RETRY_NO, "the statement took too long"},
    {"53100", RL_E_UNAVAILABLE, RETRY_NO, "the disk of PostgreSQL is full"},
    {"53", RL_E_UNAVAILABLE, RETRY_NO, "PostgreSQL has no room"},
    {"57P", RL_E_UNAVAILABLE, RETRY_LOST, "PostgreSQL is away"},
    {"25P03", RL_E_UNAVAILABLE, RETRY_LOST, "PostgreSQL closed an idle transaction"},
    {"08", RL_E_UNAVAILABLE, RETRY_LOST, "PostgreSQL is away"},
    /* A prepared statement whose tables have changed, or that somebody took away: a new connection
     * prepares it anew. */
    {"0A000", RL_E_INTERNAL, RETRY_LOST, "PostgreSQL refused the statement"},
    {"26000", RL_E_INTERNAL, RETRY_LOST, "PostgreSQL refused the statement"},
    {"58", RL_E_UNAVAILABLE, RETRY_NO, "PostgreSQL fails on its own files"},
    {"54", RL_E_EXHAUSTED, RETRY_NO, "a limit of PostgreSQL was reached"},
    {"P0", RL_E_PRECONDITION, RETRY_NO, "the database refused"},
    {"", RL_E_INTERNAL, RETRY_NO, "PostgreSQL refused the statement"},
};

static const struct meaning *meaning_of(const char *sqlstate)
{
    size_t i = 0;
    while (strncmp(sqlstate, meanings[i].sqlstate, strlen(meanings[i].sqlstate)) != 0)
        i++; /* the last fits everything */
    return &meanings[i];
}

/* libpq's messages end in a newline and may have several lines: one sentence for us. */
static void as_one_line(const char *message, char *line, size_t bytes)
{
    size_t n = 0;
    for (; *message && n + 1 < bytes; message++)
        line[n++] = *message == '\n' || *message == '\t' ? ' ' : *message;
    while (n && line[n - 1] == ' ')
        n--;
    line[n] = '\0';
}

rl_code rl_pg_away(PGconn *pg, struct rl_error *err)
{
    char line[RL_ERROR_MESSAGE_BYTES];
    as_one_line(pg ? PQerrorMessage(pg) : "no memory for a connection", line, sizeof line);
    return rl_fail(err, RL_E_UNAVAILABLE, "PostgreSQL is away: %s", line);
}

static void note_constraint(struct rl_db *db, const PGresult *result)
{
    const char *name = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    size_t n = name ? strnlen(name, sizeof db->constraint - 1) : 0;
    if (n)
        memcpy(db->constraint, name, n);
    db->constraint[n] = '\0';
}

rl_code rl_db_fail(struct rl_db *db, const PGresult *result, struct rl_error *err)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    db->constraint[0] = '\0';
    if (!sqlstate || !message) { /* libpq's own: there is no server to have said anything */
        db->retry = RETRY_LOST;
        return rl_pg_away(db->pg, err);
    }
    const struct meaning *meaning = meaning_of(sqlstate);
    note_constraint(db, result);
    db->retry = PQstatus(db->pg) == CONNECTION_BAD ? RETRY_LOST : meaning->retry;
    return rl_fail(err, meaning->code, "%s: %s", meaning->says, message);
}
