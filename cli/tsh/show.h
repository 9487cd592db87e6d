/* show: a recording as it is played, in one of four forms. Only SHOW_PTY lets escapes through.
 */
#ifndef TSH_SHOW_H
#define TSH_SHOW_H

#include "recording/recording.h"
#include "remoteler/v1/audit.pb-c.h"

#include <jansson.h>
#include <stdio.h>

enum show_format { SHOW_PTY, SHOW_TEXT, SHOW_JSON, SHOW_ASCIICAST };

struct show;
/** Errors: RL_E_INVAL no such form. */
rl_code show_format_parse(const char *text, enum show_format *out, struct rl_error *err);
/** Shows the head. `recording` is lent until it is freed. */
struct show *show_begin(enum show_format format, const Pb__Recording *recording, FILE *to);
void show_record(struct show *show, const struct rl_recording_record *record);
/** So many parts are not there, or cannot be read. */
void show_gap(struct show *show, uint32_t parts);
void show_end(struct show **show);

/** A recording, and a live session, as the contract shows them. */
json_t *show_recording_json(const Pb__Recording *recording);
json_t *show_session_json(const Pb__Recording *recording);

#endif
