/* splice: two sockets joined: what one sends the other is given, each direction with its own end
 * and its own back-pressure. A connection that is still holds no buffer. Between plain sockets many
 * bytes go through a pipe and never leave the kernel. One loop's thread.
 */
#ifndef PROXY_SPLICE_H
#define PROXY_SPLICE_H

#include "tunnel/socket.h"

#define SPLICE_BUFFER_BYTES 65536 /* in each direction, while there is something in it */
#define SPLICE_HALF_MS 60000      /* without progress, when one direction has ended */

#define SPLICE_PIPES_MAX 8 /* that are kept for the next who needs one */

/* Empty pipes that nobody uses now, of all splices of a loop. Zeroed; outlives them. */
struct splice_pipes {
    int spare[SPLICE_PIPES_MAX][2];
    size_t count;
};
void splice_pipes_close(struct splice_pipes *pipes);

struct splice;
/** `bytes` [0]: from the first to the second. Last; the splice is gone after it. */
typedef void (*splice_closed_fn)(void *context, const uint64_t bytes[2]);

/** Takes both sockets. */
struct splice *splice_start(struct rl_loop *loop, struct splice_pipes *pipes,
                            struct rl_socket *first, struct rl_socket *second,
                            splice_closed_fn closed, void *context);
/** Bytes so far, both ways. */
uint64_t splice_bytes(const struct splice *splice);
/** Breaks both off now; `closed` comes before it returns. */
void splice_abort(struct splice *splice);

#endif
