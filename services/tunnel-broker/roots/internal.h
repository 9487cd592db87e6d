/* What the files of roots share. */
#ifndef BROKER_ROOTS_INTERNAL_H
#define BROKER_ROOTS_INTERNAL_H

#include "roots.h"

#include "names/names.h"
#include "splice/splice.h"
#include "uplink/uplink.h"

#define ROOT_LINKS 2 /* to two brokers, where there are two */
/* A root that is left: nothing more is answered, at once. The nodes end the sessions of its users
 * then, each with a reason; after this long the rest is cut. */
#define ROOT_GOODBYE_MS 3000
#define ROOT_RETRY_MS_MAX 8000 /* a root that is back is attached again within ten seconds */
#define ROOT_ERRANDS_MAX 256   /* of one connection at once */
#define ROOT_SERVICES_MAX 256  /* connections to auth and audit, of one root */
#define ROOT_TICKETS_SEEN_MAX 65536
#define ROOT_ERRAND_MS 12000 /* less than RL_TUNNEL_LEAF_JOIN_MS: our words are better */

struct root;
struct service;

/** One connection to a root. */
struct link {
    struct root *root;
    char *replica; /* that it is to; NULL: any */
    struct rl_tls_client *tls;
    struct rl_uplink *line; /* NULL: not wanted now */
    bool is_attached;
    uint64_t since_ms; /* of is_attached */
    char broker[64];   /* that it said hello to; "" none */
    char **others;     /* the root's other brokers, as this one said */
    size_t other_count;
    struct errand *errands;
    size_t errand_count;
};

/* A question to auth. The root may go while it is asked: then the answer is for nobody. */
struct root_call {
    struct root *root; /* NULL: it has gone */
    struct rl_rpc_call *call;
};

struct root {
    struct roots *roots;
    struct root *next;
    char *name, *proxy;
    uint8_t trust_sha256[32]; /* of the bundle that `trust` is made of */
    struct rl_trust *trust;   /* its services, and its users */
    struct link links[ROOT_LINKS];
    struct rl_ticket_seen *seen;
    struct rl_timer *arrange;
    struct service *services;
    size_t service_count;
    bool is_listed; /* while the list is read */
    bool is_gone;   /* not listed any more: nothing is opened again */
    struct rl_timer *goodbye;
    /* policy.c */
    uint64_t held_version;
    uint8_t held_sha256[32];
    size_t held_sha256_n;
    struct rl_buf nonce;      /* to be said while nothing is held */
    Pb__PolicyUpdate *policy; /* that auth has not taken yet */
    bool is_policy_new;       /* nor been shown */
    struct root_call *taking;
    struct rl_timer *policy_retry;
    /* report.c */
    rl_code report_code; /* of the last connection that ended */
    char report_message[RL_ERROR_MESSAGE_BYTES];
    struct rl_timer *report;
    struct root_call *reporting;
};

struct roots {
    struct broker *broker;
    struct root *first;
    struct way *ways;
    struct rl_timer *sweep; /* ways.c */
    struct rl_splice_pipes pipes;
    bool is_leaving;
    struct rl_metric *attached_gauge, *opens_ok, *opens_failed;
};

/* ---- roots.c ---- */

void root_count_attached(const struct roots *roots);

/* ---- link.c ---- */

void link_init(struct link *link, struct root *root);
/** To a broker of this name, or to any; closes what there is. */
void link_open(struct link *link, const char *replica);
void link_close(struct link *link);
/** Detaches; what it carries goes on. */
void link_retire(struct link *link);
/** New certificates, here or there. */
void link_renew(struct link *link);
/** Which of the two goes where. */
void links_arrange(void *root);

/* ---- hello.c ---- */

rl_code root_hello(const struct root *root, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                   struct rl_error *err);

/* ---- policy.c: from the root's auth to this cluster's ---- */

void root_policy_init(struct root *root);
void root_policy_fini(struct root *root);
void root_policy_came(struct root *root, const Pb__PolicyUpdate *update);
/** Auth says what it holds. */
void root_policy_held(struct root *root, const Pb__PeerCluster *peer);
void root_policy_fill_hello(const struct root *root, Pb__Hello *hello);

/* ---- report.c: how it stands with the root, told to auth ---- */

void root_report_init(struct root *root);
void root_report_fini(struct root *root);
/** With the root as its context; *call may be given to rl_rpc_unary(). */
struct root_call *root_call_begin(struct root *root);
/** It was answered, or never will be. NULL: the root has gone. */
struct root *root_call_end(struct root_call *call);
/** Whoever goes cancels what he asked: that must not turn the loop, which may be in a turn. */
void root_call_forget(struct root_call **call);
/** Something changed. `code`, `message`: what ended the last connection; RL_OK: nothing did. */
void root_report(struct root *root, rl_code code, const char *message);

/* ---- check.c: what a root's proxy asks for. Pure. ---- */

struct asked {
    Pb__Ticket *ticket;
    struct rl_identity *proxy, *user;
};
struct asked_by {
    struct rl_trust *root; /* services and users of the root */
    const char *leaf;      /* this cluster */
    int64_t now_ns;
    struct rl_ticket_seen *seen;
};
/** Owns: asked_fini(). Errors: whatever is wrong with it. */
rl_code asked_read(const Pb__SignedTicket *signed_ticket, const struct asked_by *by,
                   struct asked *out, struct rl_error *err);
void asked_fini(struct asked *asked);
/** The id that the session has in the leaf: the same, whichever broker makes it. */
void asked_session_id(const char *root, const char *session_id, char out[RL_UUID_TEXT_BYTES]);
/** The ticket for the leaf's own node; borrows from both. `nonce` and `session_id` are the caller's
 * room. */
struct own_ticket {
    char session_id[RL_UUID_TEXT_BYTES];
    uint8_t nonce[16];
    Pb__Ticket ticket;
};
void asked_own_ticket(const struct asked *asked, const char *leaf, char *agent_id, int64_t now_ns,
                      uint64_t policy_version, struct own_ticket *out);

/* ---- errand.c ---- */

void errand_begin(struct link *link, const Pb__Open *open);
void errands_drop(struct link *link);

/* ---- service.c: this cluster's auth and audit ---- */

/** The root's user is joined to one; `asked` is the callee's from now on. */
void service_begin(struct link *link, const uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES],
                   uint64_t epoch, struct asked *asked);
void services_drop(struct root *root);
/** Says no, and why, in a way that the root's proxy passes on. */
void root_refuse(struct link *link, const uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES],
                 const struct asked *asked, rl_code code, const char *message);

/* ---- ways.c ---- */

enum way_kind { WAY_TO_BROKER, WAY_TO_NODE };
/** Counted until ways_release(). */
struct way *ways_take(struct roots *roots, enum way_kind kind, const char *id, const char *address,
                      struct rl_error *err);
struct rl_rpc_channel *ways_channel(const struct way *way);
void ways_sweep(void *roots);
void ways_renewed(struct roots *roots);
void ways_close(struct roots *roots);

#endif
