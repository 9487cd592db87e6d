/* broker: holds the tunnels of agents and joins whoever dials to the agent that is dialled. It is
 * believed by nobody: it relays what others sign, and reads of a connection only its first frame.
 * One loop owns everything here.
 */
#ifndef BROKER_H
#define BROKER_H

#include "control/control.h"
#include "dial/http_proxy.h"
#include "health/health.h"
#include "rpc/raw.h"

#define BROKER_PENDING_MAX 4096      /* dialled, and the agent has not come yet */
#define BROKER_PENDING_AGENT_MAX 256 /* of them, for one agent */
#define BROKER_STREAMS_MAX 20000     /* joined */
#define BROKER_DIALLERS_MAX 1000     /* connections of proxies */
#define BROKER_HELLO_MS 10000        /* for an agent to answer its challenge */
#define BROKER_HELLO_BYTES_MAX 65536
#define BROKER_EPOCHS_MAX 256         /* that auth is asked for at once */
#define BROKER_REPORT_MS 100          /* attachments are gathered for so long ... */
#define BROKER_REPORT_MAX 256         /* ... or so many, and told to auth */
#define BROKER_POLICY_CALLS_MAX 32    /* to auth at once */
#define BROKER_POLICY_SPREAD_MS 30000 /* over which idle agents get a new policy */
#define BROKER_KEEPALIVE_S (RL_RPC_HEARTBEAT_MS / 1000)
#define BROKER_LEAF_ATTACHMENTS_MAX 8 /* of one leaf cluster */
#define BROKER_LEAVERS_MAX 64         /* proxies that go away at once */
#define BROKER_COME_BACK_MS_MAX 60000

struct broker_config {
    struct rl_loop *loop;
    const char *cluster, *id; /* borrowed */
    size_t agents_max;
    uint32_t attach_rate; /* a second */
    uint32_t stream_window_bytes;
    bool is_held;                           /* agents wait for broker_let_in() */
    struct rl_health *health;               /* NULL: nothing is counted */
    const struct rl_http_proxy *http_proxy; /* on the way to roots; borrowed; NULL: straight */
    int64_t (*now_s)(void *context);        /* NULL: the wall clock */
};

struct broker;
rl_code broker_create(const struct broker_config *config, struct broker **out,
                      struct rl_error *err);
/** Proxies dial at one listener; agents arrive at the other through a proxy that `proxied_by`
 * knows (NULL in tests: directly). */
rl_code broker_listen_dial(struct broker *broker, const char *address, struct rl_tls_server *tls,
                           uint16_t *port, struct rl_error *err);
rl_code broker_listen_attach(struct broker *broker, const char *address, struct rl_tls_server *tls,
                             struct rl_trust *proxied_by, uint16_t *port, struct rl_error *err);
/** From now on agents are let in: with is_held they have waited at the door for that. */
void broker_let_in(struct broker *broker);
/** What the broker itself calls with, and whom of its own cluster it believes: at first, and when
 * they have changed. */
void broker_identify(struct broker *broker, struct rl_tls_identity *own, struct rl_trust *trust);
/** Before the first agent: where epochs, policy and verdicts come from. Borrowed. */
void broker_set_control(struct broker *broker, struct rl_control *control);
/** What lib/control says. */
void broker_control_changed(struct broker *broker, unsigned what);
void broker_control_line(struct broker *broker, const char *message);
/** Tells the agents to go elsewhere, ends what can go on elsewhere, and waits for other connections
 * for at most grace_ms. */
void broker_drain(struct broker *broker, uint32_t grace_ms, void (*drained)(void *context),
                  void *context);
void broker_free(struct broker **broker);

size_t broker_agents(const struct broker *broker);
size_t broker_streams(const struct broker *broker);

#endif
