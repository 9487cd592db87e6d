/* What the files of audit share. */
#ifndef RL_AUDIT_INTERNAL_H
#define RL_AUDIT_INTERNAL_H

#include "audit.h"

#include <pthread.h>
#include <stdatomic.h>

struct append_batch;

struct rl_audit {
    struct rl_audit_config config;
    struct {
        struct rl_metric *events, *repeated, *refused, *failed, *transactions, *busy_us, *searches,
            *following;
    } metrics;

    /* append.c: batches that wait, first come first */
    pthread_mutex_t lock;
    struct append_batch *first, **end;
    size_t waiting;  /* their events */
    bool is_writing; /* one thread writes, for all */
    _Atomic int64_t refused_said_s;
    bool is_failing; /* said in the log once */

    size_t searches; /* search.c; the loop's */
};

void audit_append(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context);
extern const struct rl_rpc_stream_ops audit_search_ops;
void audit_search_opened(struct rl_rpc_call *call, void *context);
void audit_heads(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context);
extern const struct rl_rpc_stream_ops audit_ledger_ops;
void audit_ledger_opened(struct rl_rpc_call *call, void *context);

/** Asks auth whether this user may list events; false: auth is not known yet. */
bool audit_ask_auth(struct rl_audit *audit, const struct rl_identity *caller, const char *address,
                    rl_rpc_done_fn done, void *context, struct rl_rpc_call **call);

#endif
