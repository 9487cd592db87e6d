/* settings: what remoteler-auth can be told, for each of its commands. */
#ifndef RL_AUTH_SETTINGS_H
#define RL_AUTH_SETTINGS_H

#include "settings/settings.h"

struct rl_auth_settings {
    /* both commands */
    char *config;
    char *cluster, *database, *key_file;
    char *log_level, *log_format;
    char *public_address;
    /* run */
    char *listen, *proxied_listen, *control_listen, *health_listen;
    char *advertise_proxied;       /* where proxies reach proxied_listen */
    struct rl_text_list addresses; /* names and addresses to certify */
    int64_t workers;
    uint64_t invitation_ttl_s, checkpoint_every_s;
    char *checkpoint_file;
    char *event_journal;
    char *https_proxy, *no_proxy; /* the way out to root clusters */
    /* bootstrap */
    char *admin, *identity_out, *service_tokens_out, *format;
    uint64_t identity_ttl_s, service_token_ttl_s, wait_s;
    int64_t service_token_uses;
};

extern const struct rl_settings_spec rl_auth_run_settings;
extern const struct rl_settings_spec rl_auth_bootstrap_settings;

#endif
