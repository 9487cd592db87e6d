/* What the files of settings share: one reading of one table. */
#ifndef RL_SETTINGS_INTERNAL_H
#define RL_SETTINGS_INTERNAL_H

#include "settings/settings.h"

/* From the weakest to the strongest. */
enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct reading {
    const struct rl_settings_spec *spec;
    void *target;
    enum source *source_of; /* of each row's value */
};

/* A flag as it stood on the command line; the text is argv's. */
struct flag {
    const struct rl_setting *row;
    const char *text;
};

struct flags {
    struct flag *items; /* heap */
    size_t count;
    const char *help; /* "" after --help, "man" after --help=man; NULL: not asked for */
};

/* value.c */
const struct rl_setting *rl_setting_find(const struct rl_settings_spec *spec, const char *name,
                                         size_t name_bytes);
/* Gives the row the value; a list gets one that a weaker source gave replaced, else more items.
 * Errors have no prefix yet: the caller knows where the text stood. */
rl_code rl_setting_assign(struct reading *reading, const struct rl_setting *row, enum source source,
                          const char *text, struct rl_error *err);
/* One item of a list, commas and all; with none, the list is empty. Errors as above. */
rl_code rl_setting_append(struct reading *reading, const struct rl_setting *row, enum source source,
                          const char *item, struct rl_error *err);
void rl_setting_clear(const struct rl_setting *row, void *target);

/* flags.c */
rl_code rl_flags_parse(const struct rl_settings_spec *spec, int argc, char **argv,
                       struct flags *flags, struct rl_positionals *positionals,
                       struct rl_error *err);

/* file.c */
rl_code rl_settings_read_file(struct reading *reading, const char *path, struct rl_error *err);

/* value.c: the variable that sets the row; NULL: none. Heap. */
char *rl_setting_environment(const struct rl_settings_spec *spec, const struct rl_setting *row);

/* help.c: what a value looks like, "HOST:PORT"; NULL for a switch. */
const char *rl_setting_value_word(const struct rl_setting *row);
/* Whether the switch is on unless --no-NAME is said. */
bool rl_setting_is_on(const struct rl_setting *row);

/* reference.c: the text as roff: what a "-" and a "." at a line's start need is done. */
void rl_settings_put_roff(const char *text, FILE *to);

#endif
