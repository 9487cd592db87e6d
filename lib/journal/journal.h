/* journal: audit events that outlive the process which has them. Each is in a file before it is on
 * its way to audit, and leaves the file when audit has taken it; so what a killed process had not
 * sent, the next one sends. It also knows which sessions began and did not end: their end is told
 * by whoever finds out, in this process or in the next.
 *
 * A file's record is a length (32 bits, big-endian) and the packed event. What
 * audit does not take within RL_JOURNAL_LOOK_MS is synced to the disk: it survives the machine,
 * too, but for its last second. docs/decisions/0017.
 */
#ifndef RL_JOURNAL_H
#define RL_JOURNAL_H

#include "event/event.h"
#include "loop/loop.h"

#define RL_JOURNAL_BYTES_MAX 1048576 /* more is not written; `trouble` says so, once */
#define RL_JOURNAL_LOOK_MS 1000      /* between looks whether audit has taken everything */

struct rl_journal_config {
    struct rl_loop *loop;
    const char *path; /* mode 0600; NULL: no file, what is not sent is lost with the process */
    /* Takes the event on its way to audit. */
    void (*send)(void *context, Pb__Event **event);
    /* How many of those that were sent audit has not taken yet. */
    size_t (*pending)(void *context);
    int64_t (*now_ns)(void *context);
    /* Events are sent, but no longer written; may be NULL. */
    void (*trouble)(void *context, const char *message);
    void *context;
};

struct rl_journal;
/** Sends what the process before had not sent, and the end of each session that it left open. The
 * same event twice is one event (its uid). A file that can not be read or written is `trouble`, and
 * no reason not to send events. */
struct rl_journal *rl_journal_open(const struct rl_journal_config *config);
/** Writes and sends. Takes the event. */
void rl_journal_event(struct rl_journal *journal, Pb__Event **event);
/** Whoever served this session is gone: what began in it and did not end, ended now. */
void rl_journal_session_gone(struct rl_journal *journal, const char *session_id,
                             const char *reason);
/** Everything in the file is on the disk. */
bool rl_journal_is_synced(const struct rl_journal *journal);
/** Sessions that began and did not end. */
size_t rl_journal_open_sessions(const struct rl_journal *journal);
/** What audit has not taken stays in the file for the next process. Takes NULL. */
void rl_journal_close(struct rl_journal **journal);

#endif
