/* settings: the tables. */
#include "settings.h"

#include <stddef.h>

#define AT(field) offsetof(struct rl_auth_settings, field)
#define HOUR_S 3600
#define DAY_S (24 * HOUR_S)

/* What both commands take. */
#define COMMON_ROWS                                                                                \
    {.name = "config",                                                                             \
     .type = RL_SETTING_FILE,                                                                      \
     .offset = AT(config),                                                                         \
     .help = "YAML file with these settings, by their names"},                                     \
        {.name = "database",                                                                       \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = AT(database),                                                                   \
         .required = true,                                                                         \
         .help = "PostgreSQL, as a libpq connection string"},                                      \
        {.name = "key-file",                                                                       \
         .type = RL_SETTING_FILE,                                                                  \
         .offset = AT(key_file),                                                                   \
         .required = true,                                                                         \
         .help = "file with the key that wraps the cluster's private keys, mode 0600"},            \
        {.name = "public-address",                                                                 \
         .type = RL_SETTING_ADDRESS,                                                               \
         .offset = AT(public_address),                                                             \
         .help = "the proxy's public HOST:PORT, shown in commands and invitations"},               \
        {.name = "log-level",                                                                      \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = AT(log_level),                                                                  \
         .fallback = "info",                                                                       \
         .help = "debug, info, warn or error"},                                                    \
    {                                                                                              \
        .name = "log-format", .type = RL_SETTING_TEXT, .offset = AT(log_format),                   \
        .fallback = "json", .help = "json, or text for people"                                     \
    }

static const struct rl_setting run_rows[] = {
    COMMON_ROWS,
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .help = "the cluster's name; must be the database's when given"},
    {.name = "listen",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(listen),
     .fallback = "127.0.0.1:3025",
     .help = "where agents, users and services call directly"},
    {.name = "proxied-listen",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxied_listen),
     .help = "the same behind the proxy: a signed PROXY v2 header comes first"},
    {.name = "advertise-proxied",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(advertise_proxied),
     .help = "where proxies reach --proxied-listen, when it is not that address"},
    {.name = "control-listen",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(control_listen),
     .fallback = "127.0.0.1:3026",
     .help = "where the other services call (gRPC, mutual TLS)"},
    {.name = "health-listen",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(health_listen),
     .fallback = "127.0.0.1:3027",
     .help = "/healthz, /readyz and /metrics"},
    {.name = "address",
     .type = RL_SETTING_LIST,
     .offset = AT(addresses),
     .help = "host names and addresses of this replica, for its certificate"},
    {.name = "workers",
     .type = RL_SETTING_NUMBER,
     .offset = AT(workers),
     .fallback = "8",
     .min = 1,
     .max = 48,
     .help = "threads for the database and for passwords"},
    {.name = "invitation-ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(invitation_ttl_s),
     .fallback = "24h",
     .min = HOUR_S,
     .max = DAY_S,
     .unit = "s",
     .help = "how long an invitation is good"},
    {.name = "checkpoint-every",
     .type = RL_SETTING_DURATION,
     .offset = AT(checkpoint_every_s),
     .fallback = "60s",
     .min = 1,
     .max = HOUR_S,
     .unit = "s",
     .help = "how often the heads of the audit log are signed"},
    {.name = "checkpoint-file",
     .type = RL_SETTING_TEXT,
     .offset = AT(checkpoint_file),
     .help = "appends each of these checkpoints to this file, for `tctl audit verify --against`"},
    {.name = "event-journal",
     .type = RL_SETTING_FILE,
     .offset = AT(event_journal),
     .help = "keeps events that audit has not taken in FILE.0 and FILE.1, for the next start; "
             "without it they are gone with the process"},
    {.name = "https-proxy",
     .type = RL_SETTING_TEXT,
     .offset = AT(https_proxy),
     .environment = "HTTPS_PROXY",
     .help = "reach root clusters through this HTTP proxy: http://[USER:PASSWORD@]HOST:PORT"},
    {.name = "no-proxy",
     .type = RL_SETTING_TEXT,
     .offset = AT(no_proxy),
     .environment = "NO_PROXY",
     .help = "names, addresses and networks that are reached without it, between commas"},
};

static const struct rl_setting bootstrap_rows[] = {
    COMMON_ROWS,
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .required = true,
     .help = "the new cluster's name, like dev.example.com"},
    {.name = "admin",
     .type = RL_SETTING_TEXT,
     .offset = AT(admin),
     .fallback = "admin",
     .help = "the first administrator's name"},
    {.name = "identity-out",
     .type = RL_SETTING_FILE,
     .offset = AT(identity_out),
     .help = "writes an identity of the administrator for tctl (0600)"},
    {.name = "identity-ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(identity_ttl_s),
     .fallback = "365d",
     .min = HOUR_S,
     .max = (int64_t)3650 * DAY_S,
     .unit = "s",
     .help = "how long that identity is good"},
    {.name = "service-tokens-out",
     .type = RL_SETTING_FILE,
     .offset = AT(service_tokens_out),
     .help = "writes join tokens into this directory: proxy.token, broker.token, audit.token; and "
             "ca.pin"},
    {.name = "service-token-ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(service_token_ttl_s),
     .fallback = "24h",
     .min = 60,
     .max = (int64_t)365 * DAY_S,
     .unit = "s",
     .help = "how long those tokens are good"},
    {.name = "service-token-uses",
     .type = RL_SETTING_NUMBER,
     .offset = AT(service_token_uses),
     .fallback = "16",
     .min = 1,
     .max = 1000,
     .help = "how often each of those tokens can be used"},
    {.name = "wait",
     .type = RL_SETTING_DURATION,
     .offset = AT(wait_s),
     .fallback = "0s",
     .min = 0,
     .max = DAY_S,
     .unit = "s",
     .help = "how long to wait for PostgreSQL"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "text",
     .help = "text, json or yaml: how the result is printed"},
};

const struct rl_settings_spec rl_auth_run_settings = {
    .program = "remoteler-auth",
    .summary = "Users, roles, tokens, certificate authorities, locks, and who is where.",
    .usage = "[run | --healthcheck] [flags]",
    .example = "remoteler-auth run --database='host=/run/postgresql dbname=remoteler' "
               "--key-file=/etc/remoteler/auth.key",
    .rows = run_rows,
    .count = RL_COUNT(run_rows),
    .file_setting = "config",
    .environment_prefix = "REMOTELER_AUTH",
    .section = 8,
};

const struct rl_settings_spec rl_auth_bootstrap_settings = {
    .program = "remoteler-auth bootstrap",
    .summary = "Makes a cluster: tables, authorities, roles, its first administrator.",
    .usage = "[flags]",
    .example = "remoteler-auth bootstrap --cluster=dev.example.com "
               "--database='host=/run/postgresql dbname=remoteler' "
               "--key-file=/etc/remoteler/auth.key --identity-out=admin.pem",
    .rows = bootstrap_rows,
    .count = RL_COUNT(bootstrap_rows),
    .file_setting = "config",
    .environment_prefix = "REMOTELER_AUTH",
    .section = 8,
};
