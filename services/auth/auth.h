/* auth: what all RPC families share. Handlers run on workers and block for the database; what they
 * answer is a message that they fill. Nothing of gRPC is here: a test calls them as they are.
 */
#ifndef RL_AUTH_AUTH_H
#define RL_AUTH_AUTH_H

#include "clock/clock.h"
#include "event/event.h"
#include "message.h"
#include "metrics.h"
#include "names/names.h"
#include "rpc/rpc.h"
#include "settings.h"
#include "snapshot.h"

/** A service heartbeats every 3 s; it is taken for dead after this. */
#define RL_AUTH_LEASE_S 10
#define RL_AUTH_HEARTBEAT_MS 3000
#define RL_AUTH_CONTROL_WORKERS 4
#define RL_AUTH_PASSWORD_WORKERS 2
/** Logins that wait for a password worker; more are refused at once. */
#define RL_AUTH_PASSWORD_QUEUE_MAX 128

struct rl_auth_events;
struct rl_auth_hub;
struct rl_checkpoints;
struct rl_errands;
struct rl_http_proxy;
struct rl_inventory;

struct rl_auth {
    const struct rl_auth_settings *settings;
    char *cluster;
    char id[RL_UUID_TEXT_BYTES]; /* of this replica */
    struct rl_store *store;
    struct rl_wrap_key *wrap;
    struct rl_snapshots *snapshots;
    struct rl_inventory *inventory;
    /* Threads by what they must not wait for: a flood of logins hashes passwords on its own ones,
     * and the leases of brokers are renewed whatever users ask. NULL in tests and bootstrap. */
    struct rl_workers *workers, *control_workers, *password_workers;
    struct rl_auth_events *events;      /* NULL: nobody is told (bootstrap) */
    struct rl_auth_hub *hub;            /* NULL in bootstrap */
    struct rl_checkpoints *checkpoints; /* NULL in tests and bootstrap */
    struct rl_errands *errands;         /* likewise */
    struct rl_http_proxy *http_proxy;   /* the way out to roots; NULL: straight */
    struct rl_auth_metrics metrics;
    struct rl_voted_clock clock; /* what is signed for others says this time */
};

/** Opens the store; connects to nothing yet. Owns: by rl_auth_close(). */
rl_code rl_auth_open(const struct rl_auth_settings *settings, struct rl_auth **out,
                     struct rl_error *err);
/** Reads the key file, and from the database the cluster's name and authorities. Errors:
 * RL_E_UNAVAILABLE while the database is away; RL_E_PRECONDITION not bootstrapped, another cluster,
 * another schema; RL_E_DENIED another key file. */
rl_code rl_auth_start(struct rl_auth *auth, struct rl_error *err);
void rl_auth_close(struct rl_auth **auth);

/* ---- answering ---- */

typedef rl_code (*rl_answer_fn)(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                const ProtobufCMessage *request, ProtobufCMessage *reply,
                                struct rl_error *err);
/** Answers a call with `fn`: makes the reply, sends it or the error, logs what is our own fault
 * and tells the caller no more than that. */
void rl_answer(struct rl_rpc_call *call, const ProtobufCMessage *request, void *auth,
               const ProtobufCMessageDescriptor *reply, rl_answer_fn fn);

/** The same for a reply of many parts, which `fn` packs. */
typedef rl_code (*rl_answer_packed_fn)(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                       const ProtobufCMessage *request, struct rl_buf *reply,
                                       struct rl_error *err);
void rl_answer_packed(struct rl_rpc_call *call, const ProtobufCMessage *request, void *auth,
                      rl_answer_packed_fn fn);

/** The same on the password workers. */
void rl_answer_slowly(struct rl_rpc_call *call, const ProtobufCMessage *request, void *auth,
                      const ProtobufCMessageDescriptor *reply, rl_answer_fn fn);

/** An rl_rpc_unary_fn by the name of NAME that answers with FN, of the types' own. */
#define RL_ANSWER_BY(ANSWER, NAME, FN, REQUEST, REPLY, reply_descriptor)                           \
    static rl_code NAME##_typed(struct rl_auth *auth, const struct rl_rpc_peer *peer,              \
                                const ProtobufCMessage *request, ProtobufCMessage *reply,          \
                                struct rl_error *err)                                              \
    {                                                                                              \
        return FN(auth, peer, (const REQUEST *)request, (REPLY *)reply, err);                      \
    }                                                                                              \
    static void NAME(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)     \
    {                                                                                              \
        ANSWER(call, request, context, &reply_descriptor, NAME##_typed);                           \
    }
#define RL_ANSWER(NAME, FN, REQUEST, REPLY, reply_descriptor)                                      \
    RL_ANSWER_BY(rl_answer, NAME, FN, REQUEST, REPLY, reply_descriptor)
#define RL_ANSWER_SLOWLY(NAME, FN, REQUEST, REPLY, reply_descriptor)                               \
    RL_ANSWER_BY(rl_answer_slowly, NAME, FN, REQUEST, REPLY, reply_descriptor)

#define RL_ANSWER_PACKED(NAME, FN, REQUEST)                                                        \
    static rl_code NAME##_typed(struct rl_auth *auth, const struct rl_rpc_peer *peer,              \
                                const ProtobufCMessage *request, struct rl_buf *reply,             \
                                struct rl_error *err)                                              \
    {                                                                                              \
        return FN(auth, peer, (const REQUEST *)request, reply, err);                               \
    }                                                                                              \
    static void NAME(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context)     \
    {                                                                                              \
        rl_answer_packed(call, request, context, NAME##_typed);                                    \
    }

#endif
