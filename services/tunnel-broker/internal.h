/* What the broker's files share. Each names its part of struct broker. */
#ifndef BROKER_INTERNAL_H
#define BROKER_INTERNAL_H

#include "admission.h"
#include "broker.h"
#include "clock/clock.h"
#include "log/log.h"
#include "tunnel/queue.h"
#include "tunnel/tunnel.h"

struct attachment;
struct hop;
struct pending;
struct reports;
struct policies;
struct epochs;
struct leavers;
struct roots;
struct errand;
struct way;

struct broker {
    struct broker_config config;
    struct rl_rpc_server *attach_server, *dial_server;
    unsigned draining; /* of the two */
    void (*drained)(void *context);
    void *drained_context;
    struct rl_control *control;
    struct admission admission;
    bool is_draining, is_freeing;

    /* attachments.c: those that said hello, by agent; and all, in a list */
    struct attachment **buckets;
    size_t bucket_count, attached;
    struct attachment *attachments;
    size_t attachment_count;

    struct attachment *leaves[1024]; /* leaves.c: of them, by the leaf's name */
    size_t leaf_count;

    struct pending *pending[256]; /* join.c: by the first byte of the stream id */
    size_t pending_count;
    struct hop *hops;       /* relay.c */
    size_t joined, orphans; /* orphans: joined, and the attachment is over */

    struct epochs *epochs;       /* epochs.c */
    struct reports *reports;     /* report.c */
    struct policies *policies;   /* policy.c */
    struct leavers *leavers;     /* leave.c */
    struct roots *roots;         /* roots/: this cluster as a leaf */
    struct rl_tls_identity *own; /* NULL: it makes no calls */
    struct rl_trust *trust;      /* of its own cluster */

    struct rl_metric *agents_gauge, *streams_gauge, *dials_ok, *dials_failed, *attached_total,
        *bytes_total, *held_gauge, *turned_away, *leaves_gauge;
};

int64_t broker_now_ns(const struct broker *broker);

/* ---- attachments.c: agents ---- */

enum attachment_state {
    ATTACHMENT_ASKING,
    ATTACHMENT_CHALLENGED,
    ATTACHMENT_HERE,
    ATTACHMENT_OVER
};

struct attachment {
    struct broker *broker;
    struct attachment *next, *previous; /* of all */
    struct attachment *in_bucket, *in_leaves;
    struct rl_rpc_call *call;      /* NULL when the stream is over */
    struct attachment *epoch_next; /* epochs.c */
    struct rl_rpc_call *asking;    /* PolicyFor on its way */
    enum attachment_state state;
    char *agent_id, *address;
    char *leaf; /* "cluster/LEAF", whose broker it is; NULL: it is an agent */
    uint64_t epoch, came_ms;
    uint8_t nonce[32];
    bool serves_nodes; /* by its certificate */
    bool is_told_to_move;
    size_t live, pending;   /* connections */
    struct rl_timer *timer; /* for hello; then for policy */
    /* policy.c */
    uint64_t held_version, sent_version;
    uint8_t held_sha256[32];
    size_t held_sha256_n;
    struct rl_buf policy_nonce;
    bool wants_policy, waits_for_policy;
    bool policy_by_report; /* auth says with its verdict whether it needs another */
    struct attachment *policy_next;
};

extern const struct rl_rpc_stream_ops attach_ops;
void attach_opened(struct rl_rpc_call *call, void *context);
struct attachment *attachments_find(const struct broker *broker, const char *agent_id);
void attachments_put(struct broker *broker, struct attachment *attachment);
void attachments_remove(struct broker *broker, struct attachment *attachment);
/** Auth has said which epoch, or why none (epochs.c). */
void attachment_epoch(struct attachment *attachment, uint64_t epoch, rl_code code,
                      const char *message);
/** Auth has answered (policy.c); may free it. */
void attachment_asked(struct attachment *attachment);
/** Ends it from here; the reason is told to the agent and to auth. */
void attachment_end(struct attachment *attachment, rl_code code, const char *reason);
rl_code attachment_send(struct attachment *attachment, const Pb__BrokerMessage *message,
                        struct rl_error *err);
void attachments_send_statement(struct broker *broker);
void attachments_drain(struct broker *broker, uint32_t come_back_ms);
/** The agent is to come again by another way, now. */
void attachment_move(struct attachment *attachment, const char *reason);
/** Says which other brokers there are: again when that changes, to who cares. */
void attachment_welcome(struct attachment *attachment);
/** "node" or "cluster", and its name, for messages. */
const char *attachment_kind(const struct attachment *attachment);
const char *attachment_name(const struct attachment *attachment);

/* ---- leaves.c: clusters that are attached as agents are ---- */

/** "cluster/LEAF", or longer. */
bool leaves_is_id(const char *agent_id);
/** Of a leaf's broker: "cluster/LEAF/REPLICA" and "cluster/LEAF"; heap text. */
char *leaves_id_of(const struct rl_identity *caller);
char *leaves_name_of(const struct rl_identity *caller);
/** Errors: RL_E_DENIED, auth does not list the leaf, or not this authority of it. */
rl_code leaves_check(const struct broker *broker, const struct rl_identity *caller,
                     struct rl_error *err);
rl_code leaves_put(struct broker *broker, struct attachment *attachment, struct rl_error *err);
void leaves_remove(struct broker *broker, struct attachment *attachment);
/** One that is here, of "cluster/LEAF"; NULL: none. */
struct attachment *leaves_pick(struct broker *broker, const char *leaf);
/** Auth's list is another: who is not on it any more goes at once, with what it carries. */
void leaves_changed(struct broker *broker);
/** There are other brokers than before: leaves keep connections to two. */
void leaves_brokers_changed(struct broker *broker);

/* ---- leave.c: a proxy goes away, and the agents that came through it are told ---- */

struct leavers *leavers_create(struct broker *broker);
void leavers_free(struct leavers **leavers);
void leave_asked(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context);

/* ---- epochs.c: auth is asked for an epoch ---- */

struct epochs *epochs_create(struct broker *broker);
void epochs_free(struct epochs **epochs);
/** attachment_epoch() comes later, unless it is forgotten before. */
void epochs_want(struct epochs *epochs, struct attachment *attachment);
void epochs_forget(struct epochs *epochs, struct attachment *attachment);

/* ---- report.c: what auth is told ---- */

struct reports *reports_create(struct broker *broker);
void reports_free(struct reports **reports);
/** With the hello as it was signed, borrowed: auth checks it, and says whether the policy that it
 * names is what there is; if not, the policy is fetched then. */
void reports_attached(struct reports *reports, struct attachment *attachment,
                      const Pb__SignedHello *hello);
void reports_detached(struct reports *reports, const struct attachment *attachment,
                      const char *reason);
/** Auth was away: everything again. */
void reports_complete(struct reports *reports);

/* ---- policy.c ---- */

struct policies *policies_create(struct broker *broker);
void policies_free(struct policies **policies);
/** Soon; `at_once`: not spread out. */
void policies_want(struct policies *policies, struct attachment *attachment, bool at_once);
void policies_want_all(struct policies *policies);
/** Auth has a newer policy than this agent was given. */
bool policies_is_due(const struct policies *policies, const struct attachment *attachment);
/** That auth named last. */
uint64_t policies_version_known(const struct broker *broker);
/** It is over: nothing of it is kept. */
void policies_forget(struct policies *policies, struct attachment *attachment);

/* ---- join.c: from Dial to Carry ---- */

struct pending {
    struct broker *broker;
    struct pending *next;
    uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES];
    uint64_t epoch;
    char *agent_id;
    struct attachment *attachment;
    struct hop *dial;
    Pb__SignedTicket *ticket; /* until the agent is told; NULL after */
    struct rl_timer *timer;
};

/** Asks the agent to come for `dial`. */
rl_code join_ask(struct hop *dial, const Pb__DialOpen *open, struct rl_error *err);
/** The agent has its policy, or there is none to be had: those who waited for that are opened. */
void join_tell(struct attachment *attachment);
/** A Carry says which Dial it comes for. */
rl_code join_carry(struct hop *carry, const Pb__CarryJoin *join, struct rl_error *err);
void join_refused(struct attachment *attachment, const Pb__OpenRefused *refused);
/** The attachment is over: who waits for it is told. */
void join_lost(struct attachment *attachment);
/** The Dial is over. */
void join_forget(struct hop *dial);

/* ---- relay.c: bytes ---- */

/** Which way the far end of it lies: of HOP_DIAL whoever dialled, of HOP_CARRY whoever was dialled.
 */
enum hop_kind { HOP_DIAL, HOP_CARRY };

/** One raw stream. Another's Dial or Carry, which arrived here; or, for who comes from a root,
 * ours: a Carry to the root, of the kind HOP_DIAL, and a Dial to another broker or a node. */
struct hop {
    struct broker *broker;
    struct hop *next, *previous;
    enum hop_kind kind;
    struct rl_rpc_call *call;       /* NULL when it is over */
    char *agent_id;                 /* carry: whose certificate it came with; NULL: ours */
    struct rl_frame_reader *reader; /* until the first frame is read */
    struct rl_timer *timer;         /* for the first frame */
    struct pending *pending;        /* dial: while it waits */
    struct hop *peer;               /* joined to */
    struct attachment *attachment;  /* dial: joined to one of its; NULL when that is over */
    bool is_resumable;              /* dial: so its first frame says */
    bool by_broker;                 /* dial: for who comes from a root */
    bool is_ours;                   /* the call is made here: */
    struct rl_buf first;            /* what is said on it before anything else */
    struct errand *errand;          /* dial: until somebody has come for it; it has no call then */
    struct hop *reached;            /* dial, with an errand: a call of ours that may come for it */
    struct hop *reaches;            /* the other way round */
    struct way *way;                /* of that call */
    struct rl_queue in;             /* what came from here and the peer has not taken */
    bool in_ended;                  /* nothing more comes from here */
};

extern const struct rl_rpc_raw_ops dial_ops, carry_ops;
void relay_join(struct hop *dial, struct hop *carry);
/** For an errand: a hop that has no call yet. */
struct hop *relay_expect(struct broker *broker, struct errand *errand, bool is_resumable);
/** A call of ours, and what is said on it first. */
struct relay_call {
    struct rl_rpc_channel *channel;
    const ProtobufCServiceDescriptor *service;
    const char *method;
    const Pb__Frame *first;
};
rl_code relay_call(struct hop *hop, const struct relay_call *call, struct rl_error *err);
/** Dials elsewhere for a hop that is expected: it is joined when an answer comes, else
 * errand_failed(). Takes `way`, unless it fails. */
rl_code relay_reach(struct hop *hop, const struct relay_call *call, struct way *way,
                    struct rl_error *err);
/** Nobody wants it any more; takes NULL. */
void relay_forget(struct hop **hop);
/** Ends a hop that is not joined, or both that are. */
void relay_end(struct hop *hop, rl_code code, const char *message);
/** The agent came again while this attachment still seemed to be there: the connection under it is
 * dead. Those of its streams that can go on elsewhere are told now, not when the dead one is found
 * out. */
void relay_part_resumable(const struct attachment *attachment);
/** A leaf is not believed any more: the connections that it carries end. */
void relay_cut_leaves(struct broker *broker);
/** This broker goes away: whatever can go on elsewhere does so now. */
void relay_part_all(struct broker *broker);

#endif
