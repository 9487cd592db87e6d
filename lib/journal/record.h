/* record: an event in a file: its length (32 bits, big-endian), and the event as it is packed. */
#ifndef RL_JOURNAL_RECORD_H
#define RL_JOURNAL_RECORD_H

#include "bytes/buf.h"
#include "event/event.h"

/** Sets out->failed when there is no room. */
void record_put(struct rl_buf *out, const Pb__Event *event);
/** Gives each to `take`, which owns it then, up to the first that is damaged or not whole: what
 * follows it can not be found. The bytes of those that were given. */
size_t records_read(struct rl_span content, void (*take)(void *context, Pb__Event **event),
                    void *context);

#endif
