/* about: the commands by which a program tells of itself: version and completion. */
#ifndef RL_ABOUT_H
#define RL_ABOUT_H

#include "settings/program.h"

/** The rows of every program's `version`: --format. */
extern const struct rl_setting rl_about_version_rows[1];

#define RL_ABOUT_VERSION_SPEC(name, man_section)                                                   \
    {                                                                                              \
        .program = name " version", .summary = "which version this is",                            \
        .usage = "[--format=text|json|yaml]", .example = name " version --format=json",            \
        .rows = rl_about_version_rows, .count = 1, .section = man_section                          \
    }

#define RL_ABOUT_COMPLETION_SPEC(name, man_section)                                                \
    {                                                                                              \
        .program = name " completion", .summary = "a script that completes commands and flags",    \
        .usage = "bash|zsh|fish", .example = ". <(" name " completion bash)", .positional_max = 1, \
        .section = man_section                                                                     \
    }

/** Both return the exit status: 0 done, 1 failed, 2 wrong usage. `argv[0]` is not looked at. */
int rl_about_version(const struct rl_settings_spec *spec, const char *program, int argc,
                     char **argv);
int rl_about_completion(const struct rl_settings_spec *spec, const struct rl_program *program,
                        int argc, char **argv);

#endif
