/* graves: what retention is to drop needs auth's signature first: this fetches it. The owner's job
 * has no identity, and auth no database of audit's.
 */
#ifndef RL_AUDIT_GRAVES_H
#define RL_AUDIT_GRAVES_H

#include "loop/loop.h"
#include "rpc/rpc.h"
#include "store/store.h"

#define RL_AUDIT_GRAVES_MS 10000

struct rl_audit_graves_config {
    struct rl_loop *loop;
    const char *cluster;
    struct rl_store *writer;
    struct rl_workers *workers;
    struct rl_rpc_channel *(*auth)(void *context); /* NULL: not known */
    void (*is_signed)(void *context);              /* some are; on the loop's thread */
    void *context;
};

struct rl_audit_graves;
struct rl_audit_graves *rl_audit_graves_start(const struct rl_audit_graves_config *config);
void rl_audit_graves_stop(struct rl_audit_graves **graves);

#endif
