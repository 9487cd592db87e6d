#include "stores.h"

#include "db/schema.h"

#define WRITER_STATEMENT_MS 10000
#define WAIT_MS 2000              /* whoever sends events sends them again */
#define OWNER_STATEMENT_MS 600000 /* retention counts what it drops */

rl_code rl_audit_open_writer(const char *conninfo, size_t connections, struct rl_store **out,
                             struct rl_error *err)
{
    struct rl_store_options options = {
        .conninfo = conninfo,
        .schema = RL_AUDIT_SCHEMA,
        .application = "remoteler-audit",
        .connections = connections,
        .wait_ms = WAIT_MS,
        .statement_ms = WRITER_STATEMENT_MS,
    };
    rl_code rc = rl_store_open(&options, out, err);
    return rc == RL_OK ? rc : rl_error_prefix(err, "database");
}

rl_code rl_audit_open_owner(const char *conninfo, struct rl_store **out, struct rl_error *err)
{
    struct rl_store_options options = {
        .conninfo = conninfo,
        .schema = RL_AUDIT_SCHEMA,
        .application = "remoteler-audit-owner",
        .connections = 1,
        .wait_ms = WAIT_MS,
        .statement_ms = OWNER_STATEMENT_MS,
    };
    rl_code rc = rl_store_open(&options, out, err);
    return rc == RL_OK ? rc : rl_error_prefix(err, "owner-database");
}
