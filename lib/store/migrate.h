/* migrate: brings a schema to what the program knows, in order, under a lock, so that replicas may
 * start together. What was done is in <schema>.schema_version.
 */
#ifndef RL_STORE_MIGRATE_H
#define RL_STORE_MIGRATE_H

#include "store/store.h"

/** How far a schema may be ahead of a program that uses it: so a program of the version before goes
 * on, and starts, while an upgrade is on its way. That is why each migration leaves what the one
 * before it needs: it adds, and what it adds may be left out; what nobody uses any more is dropped
 * by a later one. A release that needs more than one migration is upgraded to without such a span.
 */
#define RL_STORE_SCHEMA_SKEW 1

struct rl_migration {
    int version;      /* 1, 2, 3 ... without a gap */
    const char *name; /* "users and roles" */
    const char *sql;  /* one or more statements; runs in one transaction */
};

/** Makes the schema when it is not there and runs what is missing. Errors: RL_E_PRECONDITION when
 * the schema is too far ahead of the program, and then nothing is touched; else the failed
 * statement's, with the migration's name, and that migration left nothing behind. */
rl_code rl_store_migrate(struct rl_store *store, const struct rl_migration *migrations,
                         size_t count, struct rl_error *err);
/** For a role that may not migrate: is the schema what the program knows? Errors:
 * RL_E_PRECONDITION when it is older (run the migrations) or too far ahead. */
rl_code rl_store_check_version(struct rl_store *store, const struct rl_migration *migrations,
                               size_t count, struct rl_error *err);

#endif
