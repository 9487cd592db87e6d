#include "settings.h"

#include <stddef.h>

#define DAY_S 86400

#define DATABASE_ROWS(record, owner_required)                                                      \
    {.name = "database",                                                                           \
     .type = RL_SETTING_TEXT,                                                                      \
     .offset = offsetof(record, database),                                                         \
     .required = true,                                                                             \
     .help = "PostgreSQL, as a libpq connection string: a role that can only insert and read"},    \
        {.name = "owner-database",                                                                 \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = offsetof(record, owner_database),                                               \
         .required = (owner_required),                                                             \
         .help = "the same as the role that owns the schema: migrations, partitions, retention"},  \
    {                                                                                              \
        .name = "retention", .type = RL_SETTING_DURATION, .offset = offsetof(record, retention_s), \
        .fallback = "365d", .min = DAY_S, .max = (int64_t)36500 * DAY_S, .unit = "s",              \
        .help = "how long events are kept, unless the cluster's configuration says"                \
    }

static const struct rl_setting run_rows[] = {
    RL_MEMBER_ROWS(struct rl_audit_settings, member, "audit", "127.0.0.1:3044"),
    DATABASE_ROWS(struct rl_audit_settings, false),
    {.name = "listen",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, listen),
     .fallback = "127.0.0.1:3041",
     .help = "where direct nodes and tctl call"},
    {.name = "advertise",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, advertise),
     .help = "the same as they reach it, when it is another address"},
    {.name = "proxied-listen",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, proxied_listen),
     .fallback = "127.0.0.1:3042",
     .help = "where agents and users arrive through a proxy (PROXY v2, signed)"},
    {.name = "proxied-advertise",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, proxied_advertise),
     .help = "the same as proxies reach it, when it is another address"},
    {.name = "control-listen",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, control_listen),
     .fallback = "127.0.0.1:3043",
     .help = "where the other services call (gRPC, mutual TLS)"},
    {.name = "control-advertise",
     .type = RL_SETTING_ADDRESS,
     .offset = offsetof(struct rl_audit_settings, control_advertise),
     .help = "the same as they reach it, when it is another address"},
};

static const struct rl_setting maintain_rows[] = {
    {.name = "config",
     .type = RL_SETTING_FILE,
     .offset = offsetof(struct rl_audit_maintain_settings, config),
     .help = "configuration file (YAML) with any of these settings"},
    DATABASE_ROWS(struct rl_audit_maintain_settings, true),
    {.name = "log-level",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct rl_audit_maintain_settings, log_level),
     .fallback = "info",
     .help = "the least that is logged: debug, info, warn, error"},
    {.name = "log-text",
     .type = RL_SETTING_SWITCH,
     .offset = offsetof(struct rl_audit_maintain_settings, log_text),
     .help = "log lines for people instead of JSON"},
};

const struct rl_settings_spec rl_audit_run_settings = {
    .program = "remoteler-audit",
    .summary = "takes events, keeps them unchanged, and answers searches",
    .usage = "[--healthcheck] [flags]",
    .example = "remoteler-audit --database='host=db user=remoteler_audit dbname=remoteler' \\\n"
               "    --auth-address=auth:3025 --auth-control-address=auth:3026 \\\n"
               "    --join-token-file=/run/secrets/token --ca-pin=sha256:...",
    .rows = run_rows,
    .count = RL_COUNT(run_rows),
    .positional_max = 0,
    .file_setting = "config",
    .environment_prefix = "REMOTELER_AUDIT",
    .section = 8,
};

const struct rl_settings_spec rl_audit_maintain_settings = {
    .program = "remoteler-audit maintain",
    .summary = "makes and brings up to date the tables, makes partitions ahead, drops old ones",
    .usage = "[flags]",
    .example = "remoteler-audit maintain --retention=90d \\\n"
               "    --database='host=db user=remoteler_audit dbname=remoteler' \\\n"
               "    --owner-database='host=db user=remoteler_audit_owner dbname=remoteler'",
    .rows = maintain_rows,
    .count = RL_COUNT(maintain_rows),
    .positional_max = 0,
    .file_setting = "config",
    .environment_prefix = "REMOTELER_AUDIT",
    .section = 8,
};
