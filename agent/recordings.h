/* recordings: parts of recordings on their way to audit. They wait in memory, in order, up to a
 * limit for the whole node; one batch is on its way at a time and is forgotten when audit has
 * committed it. Sending a part again is harmless: its session, channel and number say which it is.
 *
 * While audit takes parts and is only slower than the terminals, the terminals wait. When it is
 * away, best effort goes on without (what there was no room for is counted, and the recording is
 * partial), and strict ends the session: after the grace, or when there is no room left.
 */
#ifndef RL_AGENT_RECORDINGS_H
#define RL_AGENT_RECORDINGS_H

#include "agent.h"

#include "bytes/buf.h"

#define RECORDINGS_BATCH_PARTS 64
#define RECORDINGS_BATCH_BYTES (1u << 20)
#define RECORDINGS_PACE_MS 100          /* a batch that is not full waits so long after the last */
#define RECORDINGS_LIVE_MAX 1024        /* told in one call */
#define RECORDINGS_KEPT_FREE (1u << 20) /* for beginnings and ends, which are small */
#define RECORDINGS_STALL_MS 2000        /* without an answer for so long, nobody waits for audit */
#define RECORDINGS_BEAT_MS 30000        /* a live session says so */

struct recordings;
struct recordings *recordings_create(struct agent *agent);
/** Tries for at most grace_ms to send what is left. */
void recordings_free(struct recordings **recordings, uint32_t grace_ms);

/** A session's beginning or end, as its event says; other events are nothing to it. */
void recordings_see(struct recordings *recordings, const Pb__Event *event);
/** Is the session known that this part is of? Its beginning comes by another way, and first or
 * soon. */
bool recordings_expects(const struct recordings *recordings, const char *session_id,
                        struct rl_span message);
/** A part from the relay of a terminal of this connection. */
void recordings_take(struct recordings *recordings, const char *session_id, struct rl_span message);
/** The process that served this connection is gone: what is open of it ends here. */
void recordings_session_gone(struct recordings *recordings, const char *session_id);
/** Nothing more should be read from terminals for now; node_read_recordings() is called when it is
 * over. */
bool recordings_is_full(const struct recordings *recordings);
/** May a strict session begin? Errors: RL_E_UNAVAILABLE: audit is away for longer than the grace.
 */
rl_code recordings_check_strict(const struct recordings *recordings, struct rl_error *err);

#endif
