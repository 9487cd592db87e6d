/* roles: those that every cluster begins with. */
#ifndef RL_AUTH_ROLES_H
#define RL_AUTH_ROLES_H

#include "store/store.h"

#define RL_ROLE_ADMIN "admin"     /* may do everything to resources; logs in nowhere */
#define RL_ROLE_ACCESS "access"   /* logs in to every node as its trait `logins` says */
#define RL_ROLE_AUDITOR "auditor" /* reads events and sessions */

/** Adds those that are not there. */
rl_code rl_roles_add_builtin(struct rl_db *db, uint64_t revision, struct rl_error *err);

#endif
