/* What the files of audit share. */
#ifndef RL_AUDIT_INTERNAL_H
#define RL_AUDIT_INTERNAL_H

#include "audit.h"

#include <pthread.h>
#include <stdatomic.h>

struct append_batch;
struct reading;

struct rl_audit {
    struct rl_audit_config config;
    struct {
        struct rl_metric *events, *repeated, *refused, *failed, *transactions, *busy_us, *searches,
            *following, *parts, *part_bytes, *repeated_parts, *refused_parts, *playing;
    } metrics;

    /* append.c: batches that wait, first come first */
    pthread_mutex_t lock;
    struct append_batch *first, **end;
    size_t waiting;  /* their events */
    bool is_writing; /* one thread writes, for all */
    _Atomic int64_t refused_said_s;
    bool is_failing; /* said in the log once */

    uint64_t stops;         /* how often locks and cuts have changed; the loop's */
    size_t searches;        /* search.c; the loop's */
    size_t readings;        /* playback.c; the loop's */
    struct reading *joined; /* those that watch a live session */

    /* recording.c */
    struct rl_timer *closing;
    bool is_closing;
};

/** The time that things are received and filed at. Any thread. */
int64_t audit_now_ns(const struct rl_audit *audit);
enum audit_answer {
    AUDIT_ALLOWED,
    AUDIT_DENIED,
    AUDIT_UNKNOWN, /* auth could not be asked */
};

/* decide.c: whether somebody may read, as auth said last. The owner stays until `asking` is NULL.
 */
struct audit_permission {
    struct rl_audit *audit;
    void (*answered)(void *context, enum audit_answer answer, const char *reason);
    void *context;
    struct rl_rpc_call *asking; /* NULL: auth is not asked now */
    bool own_only;
    unsigned unknown;            /* how often auth could not be asked, one time after the other */
    uint64_t answered_ms, stops; /* when it was; 0: never */
};

/** Asks whether he may `verb` resources of `kind`; on the loop's thread. The answer may come before
 * this returns. */
void audit_permission_ask(struct audit_permission *permission, const struct rl_identity *caller,
                          const char *address, const char *kind, const char *verb);
/** It was not asked for yet, or too long ago, or locks have changed since. */
bool audit_permission_is_due(const struct audit_permission *permission);
/** May what was allowed go on for a while, although auth cannot be asked? */
bool audit_permission_lasts(struct audit_permission *permission);
/** What a caller may be told of a database that failed; the rest is for the log. */
void audit_explain_fault(rl_code rc, const struct rl_error *fault, struct rl_error *err);
/** Says in the log why a writer was refused, once a second at most. */
void audit_say_refused(struct rl_audit *audit, const struct rl_rpc_peer *peer, const char *what,
                       const struct rl_error *err);

void audit_append(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context);
extern const struct rl_rpc_stream_ops audit_search_ops;
void audit_search_opened(struct rl_rpc_call *call, void *context);
void audit_heads(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context);
extern const struct rl_rpc_stream_ops audit_ledger_ops;
void audit_ledger_opened(struct rl_rpc_call *call, void *context);
void audit_write_recording(struct rl_rpc_call *call, const ProtobufCMessage *request,
                           void *context);
/** The closing of recordings, from now on; and its end. */
void audit_recordings_start(struct rl_audit *audit);
void audit_recordings_stop(struct rl_audit *audit);
extern const struct rl_rpc_stream_ops audit_list_ops, audit_play_ops;
void audit_list_opened(struct rl_rpc_call *call, void *context);
void audit_play_opened(struct rl_rpc_call *call, void *context);

#endif
