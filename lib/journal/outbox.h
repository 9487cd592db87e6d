/* outbox: what a service itself has to tell audit, from any of its threads: written to a file
 * before it is on its way, so that what a killed service had not sent, the next one sends. Audit
 * may be not known yet: until then events wait, the oldest give way beyond RL_EVENT_QUEUE_MAX.
 *
 * Two files take turns, PATH.0 and PATH.1: one is written to until audit has all that the other
 * holds. Records as a journal's; what audit does not take within RL_OUTBOX_LOOK_MS is synced.
 * docs/decisions/0017.
 */
#ifndef RL_OUTBOX_H
#define RL_OUTBOX_H

#include "event/event.h"
#include "loop/loop.h"

#define RL_OUTBOX_FILE_BYTES_MAX 1048576 /* in each file; more is not written */
#define RL_OUTBOX_TURN_BYTES 65536 /* from then on the other file is written to, if it can be */
#define RL_OUTBOX_LOOK_MS 1000     /* between looks what audit has taken */

struct rl_outbox_config {
    struct rl_loop *loop; /* NULL: nothing is written, sent or looked after (tests) */
    const char *path;     /* mode 0600, of one process; NULL: no files */
    /* Events are sent, but no longer written: why, once until all is well again. With the outbox
     * locked: for the log. May be NULL. */
    void (*trouble)(void *context, const char *message);
    void *context;
};

struct rl_outbox;
/** Takes up what the process before had not sent; twice the same is one event (its uid). Files that
 * can not be read or written are `trouble`, and no reason not to send. */
struct rl_outbox *rl_outbox_open(const struct rl_outbox_config *config);
/** Audit is known: what waits goes. Borrowed until the outbox is closed. */
void rl_outbox_connect(struct rl_outbox *outbox, struct rl_event_sender *sender);
/** Takes the event. Any thread. */
void rl_outbox_send(struct rl_outbox *outbox, Pb__Event **event);
/** The oldest that waits for audit to be known, or NULL. Owns: the caller. */
Pb__Event *rl_outbox_next(struct rl_outbox *outbox);
/** Events that gave way while audit was not known. */
size_t rl_outbox_dropped(struct rl_outbox *outbox);
/** What audit has not taken stays in the files. Before the sender goes; on the loop's thread, when
 * no other sends any more. Takes NULL. */
void rl_outbox_close(struct rl_outbox **outbox);

#endif
