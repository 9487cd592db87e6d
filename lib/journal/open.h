/* open: the sessions that began and did not end. A connection has one session id and may have
 * several sessions, which their channel tells apart.
 */
#ifndef RL_JOURNAL_OPEN_H
#define RL_JOURNAL_OPEN_H

#include "event/event.h"

struct open_session {
    struct open_session *next;
    char *session_id, *channel;
    Pb__Event *start;
};

struct open_sessions {
    struct open_session *first;
    size_t count;
};

/** Begins and ends sessions by what the event says; borrows it. */
void open_sessions_see(struct open_sessions *open, const Pb__Event *event);
/** The first of this session id (NULL: of any), or NULL. */
struct open_session *open_sessions_find(const struct open_sessions *open, const char *session_id);
/** The event that ends it: its start's user, node and addresses, and why. Owns: the caller. */
Pb__Event *open_session_end(const struct open_session *session, int64_t now_ns, const char *reason);
void open_sessions_clear(struct open_sessions *open);

#endif
