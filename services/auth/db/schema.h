/* schema: auth's tables, as numbered migrations. */
#ifndef RL_AUTH_DB_SCHEMA_H
#define RL_AUTH_DB_SCHEMA_H

#include "store/migrate.h"

#define RL_AUTH_SCHEMA "auth"

extern const struct rl_migration rl_auth_migrations[];
extern const size_t rl_auth_migration_count;

#endif
