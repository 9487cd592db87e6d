/* prompt: what a person is asked, on the terminal itself; without one, an error that names the flag
 * to use instead.
 */
#ifndef TSH_PROMPT_H
#define TSH_PROMPT_H

#include "bytes/secret.h"

/** `flag` is what to use without a terminal: "--password-file=FILE". */
rl_code tsh_prompt_secret(const char *question, const char *flag, struct rl_secret **out,
                          struct rl_error *err);
rl_code tsh_prompt_line(const char *question, const char *flag, char **out, struct rl_error *err);
/** A password from a file or "-" for stdin; one trailing newline is dropped. */
rl_code tsh_secret_from_file(const char *path, struct rl_secret **out, struct rl_error *err);
/** For a message field: heap text, to be wiped with tsh_wipe_text(). */
char *tsh_secret_text(const struct rl_secret *secret);
void tsh_wipe_text(char **text);

#endif
