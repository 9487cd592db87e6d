/* What end.c (its life), send.c, receive.c and resume.c share. */
#ifndef RL_TUNNEL_END_INTERNAL_H
#define RL_TUNNEL_END_INTERNAL_H

#include "clock/pace.h"
#include "tunnel/end.h"
#include "tunnel/queue.h"

struct rl_tunnel_end {
    struct rl_tunnel_end_config config;
    void *stream;             /* NULL before start and after the stream closed */
    struct rl_socket *socket; /* NULL before attach and when it is done with */
    struct rl_frame_reader *reader;
    struct rl_timer *timer; /* opening, acks, lingering, being parked: one at a time */
    unsigned busy;          /* depth of entry points: freed when it is 0 */

    /* to the stream */
    struct rl_buf out; /* a frame that is on its way, or a part of it */
    uint64_t taken;    /* payload bytes that the socket gave; beyond `sent` they lie in the ring */
    uint64_t sent;     /* of them, on this stream or known to have arrived */
    uint64_t acked;    /* of them, by the far end */
    bool reset_due, ack_due;
    bool socket_ended, eof_sent, reset_sent, end_told;

    /* to the socket */
    struct rl_queue queue; /* what the socket has not taken: preface, then payload */
    size_t preface_left;   /* bytes at its front that did not come from the far end; behind them, */
    size_t carried;        /* those that came by a stream that is gone */
    uint64_t received;     /* payload bytes */
    uint64_t delivered;    /* of them, taken by the socket */
    uint64_t ack_sent;
    bool eof_received, socket_finished;
    struct rl_task *turn_end; /* of a plain socket: what came in a turn goes out together */
    size_t owed; /* of the bytes of this data callback: to be consumed when delivered */

    /* resume.c */
    char *session_id;      /* NULL: it was not offered */
    struct rl_ring ring;   /* acked..taken */
    struct rl_pace pace;   /* of acknowledgements */
    struct rl_reach reach; /* how long they take */
    uint32_t paced_bytes;  /* what the ring may hold by the one, */
    uint32_t reach_bytes;  /* and by the other */
    bool is_resumable;     /* both agreed */
    bool is_parked;        /* no stream */
    bool is_resuming;      /* a stream, and the far end has not said yet what it has */
    bool nothing_left;     /* all was done but the good end of the stream */
    bool waits_for_room;   /* the ring is full */
    bool is_bulk;          /* the last read of the socket brought a frame's worth */
    uint64_t give_up_at_ms;
    unsigned resumes;

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
/** The far end's bytes wait, here or in its socket, for the socket's peer to take others. */
bool rl_end_owes_socket(const struct rl_tunnel_end *end);
/** Both directions are done, as far as this end can see. */
bool rl_end_is_complete(const struct rl_tunnel_end *end);
void rl_end_put_opened(struct rl_tunnel_end *end, rl_code code, const char *message);
/* resume.c */
void rl_end_resume_init(struct rl_tunnel_end *end);
bool rl_end_may_park(const struct rl_tunnel_end *end, rl_code code);
void rl_end_park(struct rl_tunnel_end *end, rl_code code, const char *message);
/** Parked, or an attempt has failed for good: it ends, well when nothing was left to say. */
void rl_end_give_up(struct rl_tunnel_end *end, rl_code code, const char *message);
void rl_end_restart(struct rl_tunnel_end *end);
rl_code rl_end_on_resume(struct rl_tunnel_end *end, const Pb__Resume *resume, struct rl_error *err);
/** Everything below `acked` was acknowledged: what may be unacknowledged follows the pace and the
 * length of the path. */
void rl_end_follow_acks(struct rl_tunnel_end *end, uint64_t acked);
/** The next bytes for the stream: again what the far end did not get, else what the socket has; as
 * rl_socket_read(). */
ssize_t rl_end_next_bytes(struct rl_tunnel_end *end, uint8_t *to, size_t room);
/* receive.c */
rl_code rl_end_on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err);
rl_code rl_end_on_control(void *context, const Pb__Frame *frame, struct rl_error *err);
/** Hands the socket what waits for it. */
void rl_end_flush(struct rl_tunnel_end *end);

#endif
