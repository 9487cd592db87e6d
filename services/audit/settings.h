/* settings: what remoteler-audit can be told, for each of its commands. */
#ifndef RL_AUDIT_SETTINGS_H
#define RL_AUDIT_SETTINGS_H

#include "member/member.h"

struct rl_audit_settings {
    struct rl_member_settings member;
    char *database, *owner_database;
    uint64_t retention_s;
    char *listen, *advertise;
    char *proxied_listen, *proxied_advertise;
    char *control_listen, *control_advertise;
};
extern const struct rl_settings_spec rl_audit_run_settings;

struct rl_audit_maintain_settings {
    char *config;
    char *database, *owner_database;
    uint64_t retention_s;
    char *log_level;
    bool log_text;
};
extern const struct rl_settings_spec rl_audit_maintain_settings;

#endif
