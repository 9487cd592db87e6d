/* text: what a terminal showed, as plain lines. Escapes are read and left out; what redraws within
 * a line (a carriage return, a backspace, readline's editing) leaves the line as it was last seen.
 * It is no screen: whatever moves up or down begins a new line.
 */
#ifndef RL_RECORDING_TEXT_H
#define RL_RECORDING_TEXT_H

#include "bytes/buf.h"

#define RL_RECORDING_COLUMNS_MAX 4096 /* a longer line is told in pieces */

struct rl_recording_text;
/** `line` is told each line, UTF-8 without any control character and without its end. */
typedef void (*rl_recording_line_fn)(void *context, struct rl_span line);
struct rl_recording_text *rl_recording_text_create(rl_recording_line_fn line, void *context);
/** Output in pieces cut anywhere. */
void rl_recording_text_add(struct rl_recording_text *text, struct rl_span output);
/** Tells what is left of a last line. */
void rl_recording_text_end(struct rl_recording_text *text);
void rl_recording_text_free(struct rl_recording_text **text);

#endif
