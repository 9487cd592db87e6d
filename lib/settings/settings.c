/* settings: reads the four sources in the order of their strength, each over the one before. */
#include "settings/internal.h"

#include "names/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_defaults(struct reading *reading)
{
    for (size_t i = 0; i < reading->spec->count; i++) {
        const struct rl_setting *row = &reading->spec->rows[i];
        struct rl_error err;
        if (row->fallback)
            RL_ASSERT(rl_setting_assign(reading, row, SOURCE_DEFAULT, row->fallback, &err) ==
                      RL_OK); /* the table itself is wrong */
    }
}

/* An empty variable is how one unsets it for a child in many a shell and unit file. */
static const char *environment_of(const struct rl_settings_spec *spec, const struct rl_setting *row)
{
    char *name = rl_setting_environment(spec, row);
    const char *text = name ? getenv(name) : NULL;
    free(name);
    return text && *text ? text : NULL;
}

static rl_code prefix_by_variable(const struct reading *reading, const struct rl_setting *row,
                                  struct rl_error *err)
{
    char *name = rl_setting_environment(reading->spec, row);
    rl_error_prefix(err, "%s", name);
    free(name);
    return RL_E_INVAL;
}

static bool is_given(const struct reading *reading, const struct flags *flags, const char *name)
{
    const struct rl_setting *row = rl_setting_find(reading->spec, name, strlen(name));
    RL_ASSERT(row);
    for (size_t i = 0; i < flags->count; i++)
        if (flags->items[i].row == row)
            return true;
    return reading->source_of[row - reading->spec->rows] == SOURCE_FILE;
}

static rl_code read_environment(struct reading *reading, const struct flags *flags,
                                struct rl_error *err)
{
    for (size_t i = 0; i < reading->spec->count; i++) {
        const struct rl_setting *row = &reading->spec->rows[i];
        const char *text = environment_of(reading->spec, row);
        if (row->environment_unless && is_given(reading, flags, row->environment_unless))
            continue;
        if (text && rl_setting_assign(reading, row, SOURCE_ENVIRONMENT, text, err) != RL_OK)
            return prefix_by_variable(reading, row, err);
    }
    return RL_OK;
}

static rl_code assign_flags(struct reading *reading, const struct flags *flags,
                            struct rl_error *err)
{
    for (size_t i = 0; i < flags->count; i++) {
        const struct flag *flag = &flags->items[i];
        if (rl_setting_assign(reading, flag->row, SOURCE_FLAG, flag->text, err) != RL_OK)
            return rl_error_prefix(err, "--%s", flag->row->name);
    }
    return RL_OK;
}

/* A file that only the default names need not be there. */
static rl_code read_file(struct reading *reading, const struct flags *flags, struct rl_error *err)
{
    const struct rl_settings_spec *spec = reading->spec;
    if (!spec->file_setting)
        return RL_OK;
    const struct rl_setting *row =
        rl_setting_find(spec, spec->file_setting, strlen(spec->file_setting));
    RL_ASSERT(row);
    const char *path = environment_of(spec, row);
    for (size_t i = 0; i < flags->count; i++)
        if (flags->items[i].row == row)
            path = flags->items[i].text;
    bool is_wanted = path != NULL;
    if (!is_wanted)
        path = row->fallback;
    if (!path || (!is_wanted && access(path, F_OK) < 0 && errno == ENOENT))
        return RL_OK;
    return rl_settings_read_file(reading, path, err);
}

static rl_code check_required(const struct reading *reading, struct rl_error *err)
{
    for (size_t i = 0; i < reading->spec->count; i++) {
        const struct rl_setting *row = &reading->spec->rows[i];
        if (!row->required || reading->source_of[i] != SOURCE_NONE)
            continue;
        char *variable = rl_setting_environment(reading->spec, row);
        if (variable)
            rl_fail(err, RL_E_INVAL, "--%s is needed (or %s in the environment)", row->name,
                    variable);
        else
            rl_fail(err, RL_E_INVAL, "--%s is needed", row->name);
        free(variable);
        return RL_E_INVAL;
    }
    return RL_OK;
}

static rl_code read_all(struct reading *reading, const struct flags *flags, bool all_needed,
                        struct rl_error *err)
{
    read_defaults(reading);
    rl_code rc = read_file(reading, flags, err);
    if (rc == RL_OK)
        rc = read_environment(reading, flags, err);
    if (rc == RL_OK)
        rc = assign_flags(reading, flags, err);
    if (rc == RL_OK && all_needed)
        rc = check_required(reading, err);
    return rc;
}

/* --help for a person; --help=man and --help=markdown for the documentation's build. */
static rl_code show(const struct rl_settings_spec *spec, const char *form, struct rl_error *err)
{
    if (strcmp(form, "man") == 0) {
        rl_settings_print_man(spec, spec->section ? spec->section : 1, stdout);
    } else if (strcmp(form, "markdown") == 0) {
        rl_settings_print_markdown(spec, stdout);
    } else if (*form) {
        char *shown = rl_name_printable(form);
        rl_fail(err, RL_E_INVAL, "--help: \"%.80s\" is not man or markdown", shown);
        free(shown);
        return RL_E_INVAL;
    } else {
        rl_settings_print_help(spec, stdout);
    }
    return rl_fail(err, RL_E_CANCELLED, "help was shown");
}

static rl_code read_settings(const struct rl_settings_spec *spec, int argc, char **argv,
                             bool all_needed, void *target, struct rl_positionals *positionals,
                             struct rl_error *err)
{
    struct rl_error own = {RL_OK, ""}; /* prefixes need a message to be put before */
    struct rl_error *to = err ? err : &own;
    struct flags flags = {0};
    struct reading reading = {.spec = spec, .target = target};
    reading.source_of = rl_alloc_array(spec->count, sizeof *reading.source_of);
    rl_code rc = rl_flags_parse(spec, argc, argv, &flags, positionals, to);
    if (rc == RL_OK && flags.help)
        rc = show(spec, flags.help, to);
    if (rc == RL_OK)
        rc = read_all(&reading, &flags, all_needed, to);
    if (rc != RL_OK)
        rl_settings_free(spec, target);
    free(flags.items);
    free(reading.source_of);
    return rc;
}

rl_code rl_settings_read(const struct rl_settings_spec *spec, int argc, char **argv, void *target,
                         struct rl_positionals *positionals, struct rl_error *err)
{
    return read_settings(spec, argc, argv, true, target, positionals, err);
}

rl_code rl_settings_read_some(const struct rl_settings_spec *spec, int argc, char **argv,
                              void *target, struct rl_error *err)
{
    return read_settings(spec, argc, argv, false, target, NULL, err);
}

void rl_settings_free(const struct rl_settings_spec *spec, void *target)
{
    for (size_t i = 0; i < spec->count; i++)
        rl_setting_clear(&spec->rows[i], target);
}
