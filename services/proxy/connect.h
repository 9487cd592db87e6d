/* connect: what connect.c (the conversation with the user) and dialling.c (finding the node) share.
 */
#ifndef PROXY_CONNECT_H
#define PROXY_CONNECT_H

#include "internal.h"

#include "names/names.h"

enum user_state {
    USER_ASKING,    /* its request is being read */
    USER_RESOLVING, /* auth is asked where the target is */
    USER_DIALLING,  /* brokers, or a node, are being asked for it */
    USER_JOINED,    /* bytes flow; the end has the socket */
    USER_CLOSING,   /* it is told why not, and then nothing more */
};

struct user_connection {
    struct proxy *proxy;
    struct user_connection *next, *previous;
    struct arrival arrival;
    struct rl_identity *identity; /* NULL: it showed none that is good */
    struct rl_socket *socket;     /* NULL once the end has it */
    enum user_state state;
    struct rl_timer *timer;           /* for the request, for the goodbye */
    struct rl_timer *expiry;          /* of its certificate */
    struct rl_buf bytes;              /* of the request; then of the response */
    X509 *certificate;                /* the same, as it was shown */
    Pb__ConnectRequest *request;      /* NULL until it is read */
    bool is_for_leaf;                 /* it names another cluster */
    Pb__ResolveTargetResponse *where; /* NULL until auth has said */
    struct rl_rpc_call *resolving;
    char session_id[RL_UUID_TEXT_BYTES];
    /* dialling.c */
    char **candidates; /* brokers' ids, the likeliest first */
    size_t candidate_count, candidate_next;
    struct upstream *upstream;
    struct rl_tunnel_end *end;
    struct rl_timer *redial; /* joined, and the way there is lost */
    bool has_lost_way;       /* and looks for another, ... */
    uint64_t parked_ms;      /* ... by the loop: since when; */
    uint64_t resumed_ms;     /* and when it was found again last */
    struct rl_error failure; /* of the last candidate; or why it has to stop */
    bool must_stop, is_over;
    bool is_stopping; /* the node has a moment to end it with a reason */
    int64_t began_ns;
};

/* connect.c */
/** May this user be here now, and at the node that was found? */
rl_code connect_check(const struct user_connection *user, struct rl_error *err);
/** Tells the user and closes. */
void connect_answer(struct user_connection *user, rl_code code, const char *message);
/** The response that comes before the first byte of the node. */
void connect_pack_response(const struct user_connection *u, struct rl_buf *out, rl_code code,
                           const char *message);
/** Bytes have flowed and it is over. */
void connect_ended(struct user_connection *user, const struct rl_tunnel_summary *summary);
/** Writes the event of a dial: once for each connection. */
void connect_tell(struct user_connection *user, rl_code code, const char *reason);

/* dialling.c */
void dialling_start(struct user_connection *user);
/** The timer's: looks for another way to where the connection went. */
void dialling_again(void *user);
void dialling_forget_candidates(struct user_connection *user);

#endif
