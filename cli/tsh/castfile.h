/* castfile: an asciicast (version 2) from a file, line by line. It may be anybody's.
 */
#ifndef TSH_CASTFILE_H
#define TSH_CASTFILE_H

#include "recording/recording.h"
#include "remoteler/v1/audit.pb-c.h"

#define CASTFILE_LINE_BYTES_MAX (4u << 20)

struct castfile;
/** Errors: RL_E_NOT_FOUND, RL_E_INVAL it is no asciicast of version 2. */
rl_code castfile_open(const char *path, struct castfile **out, struct rl_error *err);
/** What its header says. Borrowed. */
const Pb__Recording *castfile_recording(const struct castfile *file);
/** The next event; what a person typed is left out. Borrowed until the next. */
rl_code castfile_next(struct castfile *file, struct rl_recording_record *out, bool *is_end,
                      struct rl_error *err);
void castfile_close(struct castfile **file);

#endif
