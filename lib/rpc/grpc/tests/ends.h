/* ends: a client and a server on one loop, each over either transport, with real certificates. */
#ifndef RL_RPC_GRPC_TESTS_ENDS_H
#define RL_RPC_GRPC_TESTS_ENDS_H

#include "rpc/rpc.h"

#include "cross.pb-c.h"

enum over { OVER_H2, OVER_GRPC };

/** An authority for services and what it vouches for. */
struct authority {
    X509 *ca;
    EVP_PKEY *key;
    struct rl_trust *trust;
};
void authority_init(struct authority *authority, const char *cluster);
void authority_fini(struct authority *authority);
/** A certificate of `service` that ends in ttl_s. */
struct rl_tls_identity *authority_identity(const struct authority *authority, const char *service,
                                           uint64_t ttl_s);

/** The same with the DNS name of `named_as`. */
struct rl_tls_identity *authority_identity_as(const struct authority *authority,
                                              const char *service, const char *named_as,
                                              uint64_t ttl_s);

/** What the server's handlers saw. */
struct seen {
    unsigned opened, messages, half_closed, writable, closed, pondering;
    rl_code closed_code;
    char closed_message[256];
    char who[128], address[64];
    uint64_t connection;
    uint64_t refused_at; /* how many messages Count sent before the queue was full; 0: never */
    void (*on_message)(void *context); /* called by Talk before it answers; may be NULL */
    struct rl_rpc_call *call;          /* the last that was opened and is not closed */
};

struct ends {
    struct rl_loop *loop;
    struct authority authority;
    struct rl_tls_identity *server_identity, *client_identity;
    struct rl_tls_server *server_tls;
    struct rl_tls_client *client_tls;
    struct rl_rpc_server *server;
    struct rl_rpc_channel *channel;
    uint16_t port;
    char address[64];
    struct seen seen;
    unsigned up, down;
    rl_code down_code;
    char down_message[512];
    /* set before ends_serve() or ends_connect(); 0: the defaults */
    uint32_t keepalive_ms;
    bool stay_connected;
    struct rl_workers *workers;
    int64_t (*now_s)(void *context);
};

void ends_init(struct ends *ends);
void ends_serve(struct ends *ends, enum over server);
/** `peer_service`: whom the client expects; the server is "auth". */
void ends_connect(struct ends *ends, enum over client, const char *peer_service);
void ends_fini(struct ends *ends);

/** Turns the loop until `*what` is at least `count`; the test's own time-out is the limit. */
void turn_until(struct rl_loop *loop, const unsigned *what, unsigned count);

/** The client's side of a stream. */
struct heard {
    unsigned messages, writable, closed;
    uint64_t last, sum;
    size_t bytes;
    bool is_out_of_order;
    unsigned pause_at; /* pauses in this message; 0: never */
    rl_code code;
    char message[256];
    char who[128];
};
extern const struct rl_rpc_stream_ops hearing;
void say(struct rl_rpc_call *call, uint64_t number, size_t text_bytes);

struct answer {
    unsigned done;
    rl_code code;
    char message[256];
    uint64_t number;
    size_t bytes;
};
void on_answer(void *context, rl_code code, const char *message, const ProtobufCMessage *reply);
/** A unary call, waited for. */
struct answer ask(struct ends *ends, const char *method, uint64_t number, const char *text,
                  uint32_t deadline_ms);

#endif
