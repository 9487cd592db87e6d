/* settings: one table for each program. The parser, --help, the man page and the reference in docs/
 * all come from it, so that they cannot drift apart. Precedence: flag, environment, file, default.
 */
#ifndef RL_SETTINGS_H
#define RL_SETTINGS_H

#include "status/status.h"

#include <stdint.h>
#include <stdio.h>

enum rl_setting_type {
    RL_SETTING_TEXT,     /* char *, heap; absent: NULL */
    RL_SETTING_LIST,     /* struct rl_text_list: flag repeated, or commas */
    RL_SETTING_NUMBER,   /* int64_t, min..max */
    RL_SETTING_DURATION, /* uint64_t seconds, min..max; "12h" */
    RL_SETTING_SWITCH,   /* bool: --x, --x=yes|no|true|false, --no-x */
    RL_SETTING_ADDRESS,  /* char *, checked as HOST:PORT */
    RL_SETTING_FILE,     /* char *, a path; not opened here */
    RL_SETTING_ADDRESSES /* struct rl_text_list, each checked as HOST:PORT; at least one */
};

struct rl_text_list {
    char **items; /* heap, each heap */
    size_t count;
};

/** A row. `offset` is where the value lies in the program's own struct. */
struct rl_setting {
    const char *name; /* "--name", "name:" in the file; [a-z0-9-] */
    enum rl_setting_type type;
    size_t offset;
    const char *fallback;           /* as text; NULL: absent */
    int64_t min, max;               /* for numbers and durations; both 0: no bound but the type's */
    const char *environment;        /* NULL: by the program's prefix, where it has one */
    const char *environment_unless; /* the environment does not count when this setting is given by
                                       a flag or the file */
    const char *unit;               /* "s", "bytes"; NULL */
    const char *help;               /* one line; NULL: not shown */
    bool keeps_commas;              /* lists: a flag is one item, commas and all */
    char letter;                    /* "-l"; 0: none */
    bool required;
    bool is_secret; /* never from the environment */
};

struct rl_settings_spec {
    const char *program; /* "remoteler-auth", "tsh login" */
    const char *summary; /* one line */
    const char *usage;   /* after the program's name: "[flags] NODE [COMMAND ...]" */
    const char *example; /* shown by --help; one or more lines */
    const struct rl_setting *rows;
    size_t count;
    size_t positional_max;          /* more is an error */
    bool stop_at_positional;        /* the rest belongs to another program: `tsh ssh node ls -l` */
    const char *file_setting;       /* the row that names the configuration file, or NULL */
    const char *environment_prefix; /* "REMOTELER_PROXY": --health-listen is also
                                       REMOTELER_PROXY_HEALTH_LISTEN; NULL: only what rows name */
    int section;                    /* of its man page; 0: 1 */
};

struct rl_positionals {
    char **items; /* borrowed from argv */
    size_t count;
};

/** Fills `target` (zeroed by the caller) with defaults, file, environment and flags in that order.
 * Errors: RL_E_INVAL with one sentence that names the setting and where it came from.
 * RL_E_CANCELLED after --help, --help=man or --help=markdown was printed to stdout: exit 0.
 * Owns: release with rl_settings_free().
 */
rl_code rl_settings_read(const struct rl_settings_spec *spec, int argc, char **argv, void *target,
                         struct rl_positionals *positionals, struct rl_error *err);
/** The same, but nothing is needed: for a command that looks at some of a program's settings. */
rl_code rl_settings_read_some(const struct rl_settings_spec *spec, int argc, char **argv,
                              void *target, struct rl_error *err);
void rl_settings_free(const struct rl_settings_spec *spec, void *target);
void rl_settings_print_help(const struct rl_settings_spec *spec, FILE *to);
/** The same table as a roff man page (section 1 or 8) and as Markdown. */
void rl_settings_print_man(const struct rl_settings_spec *spec, int section, FILE *to);
void rl_settings_print_markdown(const struct rl_settings_spec *spec, FILE *to);

#endif
