/* playback: what the two halves of reading recordings share. A reading belongs to the loop; while a
 * thread has it (is_working), the loop leaves it alone but for `call`.
 */
#ifndef RL_AUDIT_PLAYBACK_H
#define RL_AUDIT_PLAYBACK_H

#include "db/recordings.h"
#include "internal.h"
#include "names/names.h"

enum reading_kind { READING_LIST, READING_PLAY, READING_JOIN };
enum reading_step { STEP_FIND, STEP_PARTS, STEP_DENIED };

struct reading {
    struct rl_audit *audit;
    enum reading_kind kind;
    struct rl_rpc_call *call; /* NULL: it is over */
    struct audit_permission permission;
    struct rl_identity *caller;
    char *address;
    bool is_asked, is_working;
    struct rl_timer *timer; /* for the next step */
    /* what was asked for */
    char session_id[RL_UUID_TEXT_BYTES];
    struct rl_audit_recordings_filter filter;
    /* how far it is */
    enum reading_step step;
    rl_code rc;
    struct rl_error err;
    struct rl_audit_recordings found;
    struct rl_audit_parts parts;
    size_t sent;       /* of `found` in a list, else of the page; */
    bool is_announced; /* the recording itself was sent */
    unsigned quiet;    /* looks for what is new that found nothing */
    bool is_gone;      /* the session that is watched is not live any more */
    struct reading *next_joined;
};

/** On a thread: one step, into rc, err and what was found. */
void playback_work(struct reading *reading);
/** "alice", and of another cluster "alice@root.example": to be shown. Owns: heap text. */
char *playback_who(const struct rl_audit *audit, const char *user, const char *cluster);
/** Tells of a watcher that left; on the loop. */
void playback_tell_left(struct reading *reading);

#endif
