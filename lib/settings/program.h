/* program: a program that is several commands. Its overview, its reference and its completion come
 * from the tables that the commands themselves read by.
 */
#ifndef RL_SETTINGS_PROGRAM_H
#define RL_SETTINGS_PROGRAM_H

#include "settings/settings.h"

/** Each command's `program` is the name, then the words that choose it: "tsh proxy ssh". */
struct rl_program {
    const char *name;    /* "tsh" */
    const char *summary; /* one line */
    const struct rl_settings_spec *const *commands;
    size_t count;
    int section; /* of its man pages; 0: 1 */
};

/** Answers `PROGRAM --help=man`, `--help=markdown` and `--help=commands` (a line for each command,
 * as it is typed) on stdout. False when that was not asked for. */
bool rl_program_show(const struct rl_program *program, int argc, char **argv);

/** A script that completes the program's commands, flags and file names.
 * Errors: RL_E_INVAL, a shell that is not bash, zsh or fish. */
rl_code rl_program_print_completion(const struct rl_program *program, const char *shell, FILE *to,
                                    struct rl_error *err);

#endif
