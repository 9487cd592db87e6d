/* uplink: the connection that a party keeps to a broker (Attach), or to auth (Follow): challenge
 * and hello, moves, and coming back at a random moment. An agent keeps one, a leaf's broker two to
 * each root. What is said on it beyond that is its user's. Everything is on the loop's thread.
 * docs/protocols/tunnel.md.
 */
#ifndef RL_UPLINK_H
#define RL_UPLINK_H

#include "dial/http_proxy.h"
#include "remoteler/v1/tunnel.pb-c.h"
#include "rpc/rpc.h"

#define RL_UPLINK_COME_BACK_MS_MAX 300000 /* however long a broker asks us to stay away */

struct rl_uplink;

struct rl_uplink_ops {
    /* The hello that answers a challenge; it was checked that whoever made it is who it says.
     * Owns: *out by pb__agent_message__free_unpacked(). An error ends the attempt. */
    rl_code (*hello)(void *context, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                     struct rl_error *err);
    /* Everything but challenges; `welcome` and `drain` after the uplink has acted on it. Borrowed.
     */
    void (*said)(void *context, const Pb__BrokerMessage *message);
    /* The stream is over. rl_uplink_free() is not for inside of any of these. */
    void (*over)(void *context, bool was_attached, rl_code code, const char *message);
    /* There is no connection; `is_news`: the reason is another than the last time. */
    void (*down)(void *context, bool is_news, rl_code code, const char *message);
};

struct rl_uplink_config {
    struct rl_loop *loop;
    const char *address;                       /* HOST:PORT; copied */
    struct rl_tls_client *tls;                 /* ref taken */
    const struct rl_http_proxy *http_proxy;    /* borrowed; NULL: straight */
    const ProtobufCServiceDescriptor *service; /* TunnelBroker, Fleet */
    const char *method;                        /* "Attach", "Follow" */
    uint32_t retry_ms_max;                     /* 0: 30 s */
    int64_t (*now_s)(void *context);           /* NULL: the wall clock */
    void *now_context;
    const struct rl_uplink_ops *ops;
    void *context; /* of the ops */
};

/** Begins to connect. */
rl_code rl_uplink_create(const struct rl_uplink_config *config, struct rl_uplink **out,
                         struct rl_error *err);
void rl_uplink_free(struct rl_uplink **uplink); /* takes NULL; `over` comes if there is a stream */
/** New certificates, or another broker is to be asked: a new connection is made, and what the old
 * one carries ends there. */
void rl_uplink_renew(struct rl_uplink *uplink);
/** Detaches, for good; what the connection carries goes on. */
void rl_uplink_retire(struct rl_uplink *uplink);
/** The network changed: is the connection still alive? */
void rl_uplink_probe(struct rl_uplink *uplink);
/** Errors: RL_E_UNAVAILABLE there is no stream. */
rl_code rl_uplink_send(struct rl_uplink *uplink, const Pb__AgentMessage *message,
                       struct rl_error *err);
/** Says what is held of the policy; a version of 0: nothing, send a snapshot. */
void rl_uplink_send_held(struct rl_uplink *uplink, const Pb__PolicyHeld *held);
/** Nobody comes for this stream, and why. */
void rl_uplink_refuse(struct rl_uplink *uplink, struct rl_span stream_id, rl_code code,
                      const char *message);

struct rl_rpc_channel *rl_uplink_channel(const struct rl_uplink *uplink); /* for Carry */
bool rl_uplink_is_connected(const struct rl_uplink *uplink);
bool rl_uplink_is_attached(const struct rl_uplink *uplink); /* was welcomed */
uint64_t rl_uplink_epoch(const struct rl_uplink *uplink);   /* of the last challenge */
/** Whose challenge came on the stream that there is; "" none. Borrowed. */
const char *rl_uplink_broker(const struct rl_uplink *uplink);
const char *rl_uplink_last_error(const struct rl_uplink *uplink); /* borrowed; "" */

/** How long to wait before coming back to a broker that asked for so many ms. */
uint32_t rl_uplink_come_back_ms(uint32_t asked_ms);

#endif
