/* member: what every service but auth is first of all: a member of its cluster. It joins once by
 * token and keeps its identity, holds the line to auth over gRPC core, says that it is alive, shows
 * its health, and stops on a signal. The service itself is what its main adds.
 */
#ifndef RL_MEMBER_H
#define RL_MEMBER_H

#include "control/control.h"
#include "enrol/enrol.h"
#include "health/health.h"
#include "settings/settings.h"

#define RL_MEMBER_JOIN_RETRY_MS_MAX 5000

struct rl_member_settings {
    char *config;
    char *state_dir;
    int64_t state_slots;
    char *join_token_file;
    char *auth_address;
    char *auth_control_address;
    char *ca_pin;
    char *health_listen;
    char *log_level;
    bool log_text;
    struct rl_text_list certificate_addresses;
    uint64_t drain_s;
};

/** Its rows in the table of a program whose settings hold a struct rl_member_settings `field`. The
 * service's directory under /var/lib/remoteler and its health port are given. */
#define RL_MEMBER_ROWS(holder, field, directory, health)                                           \
    {.name = "config",                                                                             \
     .type = RL_SETTING_FILE,                                                                      \
     .offset = offsetof(holder, field.config),                                                     \
     .help = "configuration file (YAML) with any of these settings"},                              \
        {.name = "state-dir",                                                                      \
         .type = RL_SETTING_FILE,                                                                  \
         .offset = offsetof(holder, field.state_dir),                                              \
         .fallback = "/var/lib/remoteler/" directory,                                              \
         .help = "where keys and certificates are kept"},                                          \
        {.name = "state-slots",                                                                    \
         .type = RL_SETTING_NUMBER,                                                                \
         .offset = offsetof(holder, field.state_slots),                                            \
         .fallback = "0",                                                                          \
         .min = 0,                                                                                 \
         .max = 1000,                                                                              \
         .help = "replicas that share --state-dir: each takes the first free of so many "          \
                 "directories in it; 0: the directory is one process's"},                          \
        {.name = "join-token-file",                                                                \
         .type = RL_SETTING_FILE,                                                                  \
         .offset = offsetof(holder, field.join_token_file),                                        \
         .help = "file with the token for the first start"},                                       \
        {.name = "auth-address",                                                                   \
         .type = RL_SETTING_ADDRESS,                                                               \
         .offset = offsetof(holder, field.auth_address),                                           \
         .required = true,                                                                         \
         .help = "auth's public listener: joins and renewals"},                                    \
        {.name = "auth-control-address",                                                           \
         .type = RL_SETTING_ADDRESS,                                                               \
         .offset = offsetof(holder, field.auth_control_address),                                   \
         .required = true,                                                                         \
         .help = "auth's listener for services (gRPC)"},                                           \
        {.name = "ca-pin",                                                                         \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = offsetof(holder, field.ca_pin),                                                 \
         .help = "sha256:HEX of the cluster's authority, or @FILE; needed for the first start"},   \
        {.name = "health-listen",                                                                  \
         .type = RL_SETTING_ADDRESS,                                                               \
         .offset = offsetof(holder, field.health_listen),                                          \
         .fallback = health,                                                                       \
         .help = "where /healthz, /readyz and /metrics are served"},                               \
        {.name = "certificate-address",                                                            \
         .type = RL_SETTING_LIST,                                                                  \
         .offset = offsetof(holder, field.certificate_addresses),                                  \
         .help = "a DNS name or IP address that the service's certificate shall name too"},        \
        {.name = "drain",                                                                          \
         .type = RL_SETTING_DURATION,                                                              \
         .offset = offsetof(holder, field.drain_s),                                                \
         .fallback = "30s",                                                                        \
         .min = 1,                                                                                 \
         .max = 3600,                                                                              \
         .unit = "s",                                                                              \
         .help = "how long running connections may go on when the service stops"},                 \
        {.name = "log-level",                                                                      \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = offsetof(holder, field.log_level),                                              \
         .fallback = "info",                                                                       \
         .help = "the least that is logged: debug, info, warn, error"},                            \
    {                                                                                              \
        .name = "log-text", .type = RL_SETTING_SWITCH, .offset = offsetof(holder, field.log_text), \
        .help = "log lines for people instead of JSON"                                             \
    }

struct rl_member_config {
    struct rl_loop *loop;
    const char *program;                       /* "remoteler-broker" */
    const char *kind;                          /* "broker" */
    const struct rl_member_settings *settings; /* borrowed */
    const char *advertise_address;             /* for the join; may be NULL */
    /* As in lib/control; each may be NULL. */
    void (*describe)(void *context, Pb__HeartbeatRequest *beat);
    void (*changed)(void *context, unsigned what);
    void (*line)(void *context, const char *message);
    /* A new certificate or new trust, also in another cluster: reload contexts. */
    void (*renewed)(void *context);
    /* SIGTERM or SIGINT, once. */
    void (*stop)(void *context);
    void *context;
};

struct rl_member;
/** Log, health, signals, identity; turns the loop until auth has let it join, however long auth is
 * away. Errors: a wrong setting, a token that is refused; RL_E_CANCELLED stopped by a signal while
 * it waited. */
rl_code rl_member_create(const struct rl_member_config *config, struct rl_member **out,
                         struct rl_error *err);
/** Begins to follow auth and to say that it is alive: when the service's listeners are there. */
rl_code rl_member_start(struct rl_member *member, struct rl_error *err);
void rl_member_free(struct rl_member **member);

const char *rl_member_id(const struct rl_member *member);
const char *rl_member_cluster(const struct rl_member *member);
/** Its own, also where replicas share --state-dir. */
const char *rl_member_state_dir(const struct rl_member *member);
struct rl_tls_identity *rl_member_identity(const struct rl_member *member); /* until `renewed` */
struct rl_trust *rl_member_trust(const struct rl_member *member);           /* until `renewed` */
/** For the TLS of listeners that users or leaves come to: the same, and of the root clusters that
 * are trusted now the users, of the leaves the services. Until `renewed`. */
struct rl_trust *rl_member_listener_trust(const struct rl_member *member);
const Pb__TrustBundle *rl_member_bundle(const struct rl_member *member); /* until `renewed` */
/** That this process may have; 0: unknown. */
uint64_t rl_member_descriptors(const struct rl_member *member);
struct rl_health *rl_member_health(const struct rl_member *member);
struct rl_control *rl_member_control(const struct rl_member *member); /* NULL before start */
/** What other services are told as this listener's address: `advertise` if it is set, else the host
 * of `listen` (of 0.0.0.0, this machine's name) with the real port. Owns: heap text. */
char *rl_member_advertise(const char *advertise, const char *listen, uint16_t port);

#endif
