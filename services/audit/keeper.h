/* keeper: keeps the database fit to be written to: schema, privileges, partitions ahead, retention,
 * as the owner where that role is given; and watches, as the writer, that it is. It also holds this
 * machine's clock against PostgreSQL's: a chain's times of receipt never go back, so one hour
 * ahead, taken for a moment, would be the time of all that is received in the next hour.
 */
#ifndef RL_AUDIT_KEEPER_H
#define RL_AUDIT_KEEPER_H

#include "clock/clock.h"
#include "health/health.h"
#include "loop/loop.h"
#include "store/store.h"

#define RL_AUDIT_KEEPER_RETRY_MS 2000 /* while something is wrong */
#define RL_AUDIT_KEEPER_LOOK_MS 10000 /* while all is well */
#define RL_AUDIT_MAINTAIN_MS 3600000

/** What the owner's job does, once: migrations, the writer's privileges, partitions, retention.
 * Any number at once. */
rl_code rl_audit_maintain(struct rl_store *owner, struct rl_store *writer, int64_t now_ns,
                          uint64_t retention_s, struct rl_error *err);
/** As the writer: is the schema ours, may we write and no more, is there a partition for now? */
rl_code rl_audit_check_database(struct rl_store *writer, int64_t now_ns, struct rl_error *err);

struct rl_audit_keeper_config {
    struct rl_loop *loop;
    struct rl_store *writer, *owner; /* borrowed; owner NULL: its job is done elsewhere */
    const char *replica;             /* borrowed */
    struct rl_voted_clock *clock;    /* hears PostgreSQL's in each round; borrowed */
    uint64_t retention_s;
    struct rl_health *health;
    /* Once, when the database is fit for the first time. */
    void (*ready)(void *context);
    void *context;
};

struct rl_audit_keeper;
rl_code rl_audit_keeper_start(const struct rl_audit_keeper_config *config,
                              struct rl_audit_keeper **out, struct rl_error *err);
/** From the next round on. */
void rl_audit_keeper_retain(struct rl_audit_keeper *keeper, uint64_t retention_s);
/** What the owner's job waited for is there: it runs in the next round. */
void rl_audit_keeper_maintain_soon(struct rl_audit_keeper *keeper);
void rl_audit_keeper_stop(struct rl_audit_keeper **keeper);

#endif
