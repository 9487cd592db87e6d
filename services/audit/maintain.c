#include "maintain.h"

#include "clock/clock.h"
#include "keeper.h"
#include "log/log.h"
#include "settings.h"
#include "stores.h"

#include <stdio.h>

static rl_code maintain(const struct rl_audit_maintain_settings *s, struct rl_error *err)
{
    struct rl_store *writer = NULL, *owner = NULL;
    enum rl_log_level least;
    rl_code rc = rl_log_level_parse(s->log_level, &least, err);
    if (rc != RL_OK)
        return rc;
    rl_log_setup("remoteler-audit", least, s->log_text);
    rc = rl_audit_open_writer(s->database, 1, &writer, err);
    if (rc == RL_OK)
        rc = rl_audit_open_owner(s->owner_database, &owner, err);
    if (rc == RL_OK)
        rc = rl_audit_maintain(owner, writer, rl_clock_wall_ns(), s->retention_s, err);
    if (rc == RL_OK)
        rl_log_info("the database is up to date");
    rl_store_close(&writer);
    rl_store_close(&owner);
    return rc;
}

int rl_audit_maintain_main(int argc, char **argv)
{
    struct rl_audit_maintain_settings settings = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&rl_audit_maintain_settings, argc, argv, &settings, NULL, &err);
    if (rc == RL_OK)
        rc = maintain(&settings, &err);
    if (rc != RL_OK && rc != RL_E_CANCELLED)
        fprintf(stderr, "remoteler-audit: %s\n", err.message);
    rl_settings_free(&rl_audit_maintain_settings, &settings);
    return rc == RL_OK || rc == RL_E_CANCELLED ? 0 : rc == RL_E_INVAL ? 2 : 1;
}
