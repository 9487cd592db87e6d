/* stores: the two roles that audit knows its database by. */
#ifndef RL_AUDIT_STORES_H
#define RL_AUDIT_STORES_H

#include "store/store.h"

rl_code rl_audit_open_writer(const char *conninfo, size_t connections, struct rl_store **out,
                             struct rl_error *err);
rl_code rl_audit_open_owner(const char *conninfo, struct rl_store **out, struct rl_error *err);

#endif
