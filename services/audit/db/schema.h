/* schema: audit's tables. What is written stays as it was: the role that writes may insert and read
 * and nothing else, which PostgreSQL itself sees to.
 */
#ifndef RL_AUDIT_DB_SCHEMA_H
#define RL_AUDIT_DB_SCHEMA_H

#include "store/migrate.h"

#define RL_AUDIT_SCHEMA "audit"

extern const struct rl_migration rl_audit_migrations[];
extern const size_t rl_audit_migration_count;

/** By the owner: gives the role that `writer` connects as exactly INSERT and SELECT. Errors:
 * RL_E_PRECONDITION when that role could rewrite all the same: a superuser, the owner itself, a
 * member of it. */
rl_code rl_audit_admit_writer(struct rl_store *owner, struct rl_store *writer,
                              struct rl_error *err);

#endif
