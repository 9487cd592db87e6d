/* What end.c (its life), send.c and receive.c share. */
#ifndef RL_TUNNEL_END_INTERNAL_H
#define RL_TUNNEL_END_INTERNAL_H

#include "tunnel/end.h"
#include "tunnel/queue.h"

struct rl_tunnel_end {
    struct rl_tunnel_end_config config;
    void *stream;             /* NULL before start and after the stream closed */
    struct rl_socket *socket; /* NULL before attach and when it is done with */
    struct rl_frame_reader *reader;
    struct rl_timer *timer; /* opening, acks, lingering: one at a time */
    unsigned busy;          /* depth of entry points: freed when it is 0 */

    /* to the stream */
    struct rl_buf out; /* a frame that is on its way, or a part of it */
    uint64_t sent;     /* payload bytes, of this direction */
    uint64_t acked;    /* of them, by the far end */
    bool reset_due, ack_due, eof_due;
    bool eof_sent, reset_sent, end_told;

    /* to the socket */
    struct rl_queue queue; /* what the socket has not taken: preface, then payload */
    size_t preface_left;   /* bytes of the queue that did not come from the stream */
    uint64_t received;     /* payload bytes */
    uint64_t delivered;    /* of them, taken by the socket */
    uint64_t ack_sent;
    bool eof_received, socket_finished;
    size_t owed; /* of the bytes of this data callback: to be consumed when delivered */

    bool is_started, is_open, is_attached, first_seen, stream_closed, is_closed;
    rl_code code; /* why it failed; RL_OK: it did not */
    char *message;
    bool by_far_end;
};

/* end.c */
void rl_end_enter(struct rl_tunnel_end *end);
void rl_end_leave(struct rl_tunnel_end *end); /* the last use of `end` in an entry point */
/** Gives up: drops the socket; with `tell` the far end is sent a reset, else the stream is cut. */
void rl_end_fail(struct rl_tunnel_end *end, bool tell, rl_code code, const char *message);
void rl_end_wake(struct rl_tunnel_end *end);
/** Both directions are done, as far as this end can see. */
bool rl_end_is_complete(const struct rl_tunnel_end *end);
/* receive.c */
rl_code rl_end_on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err);
rl_code rl_end_on_control(void *context, const Pb__Frame *frame, struct rl_error *err);
/** Hands the socket what waits for it. */
void rl_end_flush(struct rl_tunnel_end *end);

#endif
