/* schema: the migrations, and the writer's privileges. */
#include "schema.h"

#include <stdlib.h>

/* events: partitioned by day of receipt, so that retention drops whole tables. `at_ns` is the time
 * that searches go by: the event's own, or the receipt's when that clock was wrong. `packed` is the
 * whole event and what the hash covers; the columns beside it are there to be found by.
 *
 * uids: one row for each event ever taken, so that the same uid again, on whatever day and replica,
 * is known. A UUIDv7 begins with its time, so ranges of it are days too; those of clocks that are
 * far off go to uids_other.
 *
 * tombstones: what retention dropped, for each replica's chain: where it went on. */
static const char first[] =
    "CREATE TABLE events ("
    " uid uuid NOT NULL,"
    " at_ns bigint NOT NULL,"
    " received_ns bigint NOT NULL,"
    " type text NOT NULL,"
    " user_name text NOT NULL,"
    " user_cluster text NOT NULL,"
    " session_id text NOT NULL,"
    " replica uuid NOT NULL,"
    " sequence bigint NOT NULL CHECK (sequence > 0),"
    " prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),"
    " hash bytea NOT NULL CHECK (length(hash) = 32),"
    " packed bytea NOT NULL"
    ") PARTITION BY RANGE (received_ns);"
    "CREATE UNIQUE INDEX events_chain ON events (replica, received_ns, sequence);"
    "CREATE INDEX events_time ON events (at_ns, uid);"
    "CREATE INDEX events_type ON events (type, at_ns, uid);"
    "CREATE INDEX events_user ON events (user_name, at_ns, uid) WHERE user_name <> '';"
    "CREATE INDEX events_session ON events (session_id, at_ns, uid) WHERE session_id <> '';"

    "CREATE TABLE uids ("
    " uid uuid PRIMARY KEY,"
    " received_ns bigint NOT NULL"
    ") PARTITION BY RANGE (uid);"
    "CREATE TABLE uids_other PARTITION OF uids DEFAULT;"

    "CREATE TABLE replicas ("
    " replica uuid PRIMARY KEY,"
    " first_ns bigint NOT NULL);"

    "CREATE TABLE tombstones ("
    " day date NOT NULL,"
    " replica uuid,"
    " events bigint NOT NULL,"
    " first_sequence bigint,"
    " last_sequence bigint,"
    " prev_hash bytea,"
    " hash bytea,"
    " dropped timestamptz NOT NULL DEFAULT now());"
    "CREATE UNIQUE INDEX tombstones_once ON tombstones (day, replica) NULLS NOT DISTINCT;"

    "CREATE FUNCTION admit_writer(writer name) RETURNS void LANGUAGE plpgsql AS $body$\n"
    "BEGIN\n"
    "  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM %2$I',\n"
    "                 current_schema(), writer);\n"
    "  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), writer);\n"
    "  EXECUTE format('GRANT INSERT, SELECT ON events, uids, replicas TO %I', writer);\n"
    "  EXECUTE format('GRANT SELECT ON tombstones, schema_version TO %I', writer);\n"
    "END $body$;"
    "REVOKE ALL ON FUNCTION admit_writer FROM PUBLIC;";

/* What the writer may do is a table, so that a later one adds to it. Auth's signature of a
 * tombstone is the service's to fetch and to insert: a day is dropped when it is there. */
static const char signatures[] =
    "CREATE TABLE tombstone_signatures ("
    " day date NOT NULL,"
    " replica uuid NOT NULL,"
    " signed bytea NOT NULL,"
    " PRIMARY KEY (day, replica));"
    "CREATE TABLE writer_privileges ("
    " table_name name PRIMARY KEY,"
    " may_insert boolean NOT NULL);"
    "INSERT INTO writer_privileges VALUES ('events', true), ('uids', true), ('replicas', true),"
    " ('tombstones', false), ('tombstone_signatures', true), ('schema_version', false);"
    "CREATE OR REPLACE FUNCTION admit_writer(writer name) RETURNS void LANGUAGE plpgsql AS $body$\n"
    "DECLARE t record;\n"
    "BEGIN\n"
    "  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM %2$I',\n"
    "                 current_schema(), writer);\n"
    "  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), writer);\n"
    "  FOR t IN SELECT * FROM writer_privileges LOOP\n"
    "    EXECUTE format('GRANT SELECT ON %I TO %I', t.table_name, writer);\n"
    "    IF t.may_insert THEN\n"
    "      EXECUTE format('GRANT INSERT ON %I TO %I', t.table_name, writer);\n"
    "    END IF;\n"
    "  END LOOP;\n"
    "END $body$;";

/* recordings: what was known when a session began; one that is not recorded (mode "off") is here
 * too, and has no output. `day` is the one of its receipt, and the partition of all its parts.
 *
 * recording_parts: as they came, whole. The sum of `bytes` and the count of parts are read from the
 * index alone.
 *
 * recording_leases: those that are open, and when their node was heard of last. No evidence: the
 * writer may change it. */
static const char recordings[] =
    "CREATE TABLE recordings ("
    " session_id uuid NOT NULL,"
    " channel bigint NOT NULL,"
    " agent uuid NOT NULL,"
    " day bigint NOT NULL,"
    " at_ns bigint NOT NULL,"
    " received_ns bigint NOT NULL,"
    " user_name text NOT NULL,"
    " user_cluster text NOT NULL,"
    " mode text NOT NULL,"
    " packed bytea NOT NULL,"
    " PRIMARY KEY (session_id, channel));"
    "CREATE INDEX recordings_time ON recordings (at_ns, session_id, channel);"
    "CREATE INDEX recordings_user ON recordings (user_name, at_ns);"
    "CREATE INDEX recordings_day ON recordings (day);"

    "CREATE TABLE recording_parts ("
    " day bigint NOT NULL,"
    " session_id uuid NOT NULL,"
    " channel bigint NOT NULL,"
    " part bigint NOT NULL CHECK (part >= 0),"
    " received_ns bigint NOT NULL,"
    " is_end boolean NOT NULL,"
    " bytes bigint NOT NULL,"
    " sha256 bytea NOT NULL CHECK (length(sha256) = 32),"
    " packed bytea NOT NULL,"
    " PRIMARY KEY (day, session_id, channel, part) INCLUDE (received_ns, bytes)"
    ") PARTITION BY RANGE (day);"
    "CREATE INDEX recording_parts_end ON recording_parts (session_id, channel) WHERE is_end;"
    "ALTER TABLE recording_parts ALTER packed SET STORAGE EXTERNAL;" /* it is compressed already */

    "CREATE TABLE recording_leases ("
    " session_id uuid NOT NULL,"
    " channel bigint NOT NULL,"
    " day bigint NOT NULL,"
    " seen_ns bigint NOT NULL,"
    " is_ended boolean NOT NULL,"
    " PRIMARY KEY (session_id, channel));"

    "ALTER TABLE writer_privileges ADD may_change boolean NOT NULL DEFAULT false;"
    "INSERT INTO writer_privileges VALUES ('recordings', true, false),"
    " ('recording_parts', true, false), ('recording_leases', true, true);"
    "CREATE OR REPLACE FUNCTION admit_writer(writer name) RETURNS void LANGUAGE plpgsql AS $body$\n"
    "DECLARE t record;\n"
    "BEGIN\n"
    "  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM %2$I',\n"
    "                 current_schema(), writer);\n"
    "  EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), writer);\n"
    "  FOR t IN SELECT * FROM writer_privileges LOOP\n"
    "    EXECUTE format('GRANT SELECT ON %I TO %I', t.table_name, writer);\n"
    "    IF t.may_insert THEN\n"
    "      EXECUTE format('GRANT INSERT ON %I TO %I', t.table_name, writer);\n"
    "    END IF;\n"
    "    IF t.may_change THEN\n"
    "      EXECUTE format('GRANT UPDATE, DELETE ON %I TO %I', t.table_name, writer);\n"
    "    END IF;\n"
    "  END LOOP;\n"
    "END $body$;";

const struct rl_migration rl_audit_migrations[] = {
    {1, "events, their uids, chains and tombstones", first},
    {2, "signatures of tombstones", signatures},
    {3, "recordings, their parts and leases", recordings},
};
const size_t rl_audit_migration_count = RL_COUNT(rl_audit_migrations);

static rl_code read_role(struct rl_db *db, void *context, struct rl_error *err)
{
    char **role = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err, "SELECT current_user::text");
    if (rc != RL_OK)
        return rc;
    free(*role);
    *role = rl_strdup(rl_row_text(rows, 0, 0));
    rl_rows_free(&rows);
    return RL_OK;
}

static rl_code check_powers(struct rl_db *db, const char *writer, struct rl_error *err)
{
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query(db, &rows, err,
                          "SELECT rolsuper OR pg_has_role(rolname, current_user, 'MEMBER')"
                          " FROM pg_roles WHERE rolname = $1",
                          rl_param_text(writer));
    if (rc != RL_OK)
        return rc;
    bool is_powerful = rl_rows_count(rows) != 1 || rl_row_bool(rows, 0, 0);
    rl_rows_free(&rows);
    if (is_powerful)
        return rl_fail(err, RL_E_PRECONDITION,
                       "the database role \"%s\" could rewrite audit's tables: give `database` a "
                       "role of its own, neither a superuser nor the owner's",
                       writer);
    return RL_OK;
}

static rl_code admit(struct rl_db *db, void *context, struct rl_error *err)
{
    const char *writer = context;
    rl_code rc = check_powers(db, writer, err);
    /* Replicas that start together would rewrite the same catalogue rows. */
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err,
                     "SELECT pg_advisory_xact_lock(hashtextextended('audit writer', 0))");
    if (rc == RL_OK)
        rc = rl_exec(db, NULL, err, "SELECT admit_writer($1::name)", rl_param_text(writer));
    return rc;
}

rl_code rl_audit_admit_writer(struct rl_store *owner, struct rl_store *writer, struct rl_error *err)
{
    char *role = NULL;
    rl_code rc = rl_store_transaction(writer, read_role, &role, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(owner, admit, role, err);
    free(role);
    return rc;
}
