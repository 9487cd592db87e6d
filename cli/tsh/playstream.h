/* playstream: a recording from audit, part by part: the next one is asked for when the one before
 * was used, so that any recording is played in the same memory. And the list of recordings.
 */
#ifndef TSH_PLAYSTREAM_H
#define TSH_PLAYSTREAM_H

#include "client.h"
#include "names/names.h"
#include "remoteler/v1/audit.pb-c.h"

/** A session as it is named on the command line: its id, and ".N" for the sessions after the first
 * of one connection. */
struct tsh_session {
    char id[RL_UUID_TEXT_BYTES];
    uint32_t channel;
};
/** Errors: RL_E_INVAL it is no session's name. */
rl_code tsh_session_parse(const char *text, struct tsh_session *out, struct rl_error *err);
char *tsh_session_name(const char *session_id, uint32_t channel); /* heap */

struct tsh_playstream;
/** Of that cluster's audit. `follow`: from now on, for as long as the session lives. */
rl_code tsh_playstream_open(const struct tsh_profile *profile, const char *cluster,
                            const struct tsh_session *session, bool follow,
                            struct tsh_playstream **out, struct rl_error *err);
/** The recording, once the first message is there. Borrowed. Errors: audit's own words. */
rl_code tsh_playstream_recording(struct tsh_playstream *stream, const Pb__Recording **out,
                                 struct rl_error *err);
/** The next part, the caller's; NULL at the end. Errors: audit's own words; RL_E_DATA_LOSS it is no
 * part; RL_E_CANCELLED *stop was set. */
rl_code tsh_playstream_next(struct tsh_playstream *stream, const volatile int *stop,
                            Pb__RecordingPart **out, struct rl_error *err);
/** Waits; the connection is kept up meanwhile. */
void tsh_playstream_wait(struct tsh_playstream *stream, uint32_t ms);
void tsh_playstream_close(struct tsh_playstream **stream);

/** A cluster's recordings or live sessions, newest first. Owns: free_unpacked each, and the array.
 */
rl_code tsh_recordings_list(const struct tsh_profile *profile, const char *cluster,
                            const Pb__ListRecordingsRequest *request, Pb__Recording ***out,
                            size_t *count, bool *more_matched, struct rl_error *err);

#endif
