/* splice: two sockets joined: what one sends the other is given, each direction with its own end
 * and its own back-pressure. A connection that is still holds no buffer. Between plain sockets many
 * bytes go through a pipe and never leave the kernel. One loop's thread.
 */
#ifndef RL_SPLICE_H
#define RL_SPLICE_H

#include "tunnel/socket.h"

#define RL_SPLICE_BUFFER_BYTES 65536 /* in each direction, while there is something in it */
#define RL_SPLICE_HALF_MS 60000      /* without progress, when one direction has ended */

#define RL_SPLICE_PIPES_MAX 8 /* that are kept for the next who needs one */

/* Empty pipes that nobody uses now, of all splices of a loop. Zeroed; outlives them. */
struct rl_splice_pipes {
    int spare[RL_SPLICE_PIPES_MAX][2];
    size_t count;
};
void rl_splice_pipes_close(struct rl_splice_pipes *pipes);

struct rl_splice;
/** `bytes` [0]: from the first to the second. Last; the splice is gone after it. */
typedef void (*rl_splice_closed_fn)(void *context, const uint64_t bytes[2]);

/** Takes both sockets. */
struct rl_splice *rl_splice_start(struct rl_loop *loop, struct rl_splice_pipes *pipes,
                                  struct rl_socket *first, struct rl_socket *second,
                                  rl_splice_closed_fn closed, void *context);
/** Bytes so far, both ways. */
uint64_t rl_splice_bytes(const struct rl_splice *splice);
/** Breaks both off now; `closed` comes before it returns. */
void rl_splice_abort(struct rl_splice *splice);

#endif
