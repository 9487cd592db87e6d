/* prompt: what a person is asked, on the terminal itself; without one, an error that names the flag
 * to use instead.
 */
#ifndef TSH_PROMPT_H
#define TSH_PROMPT_H

#include "bytes/secret.h"

#define TSH_LINE_BYTES_MAX 1024 /* of a password, a code, an answer */

/** `flag` is what to use without a terminal: "--password-file=FILE". */
rl_code tsh_prompt_secret(const char *question, const char *flag, struct rl_secret **out,
                          struct rl_error *err);
rl_code tsh_prompt_line(const char *question, const char *flag, char **out, struct rl_error *err);

#endif
