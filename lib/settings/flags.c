/* flags: the command line, taken apart but not yet understood: a later pass assigns the texts,
 * after the file that a flag may have named.
 */
#include "settings/internal.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    const struct rl_settings_spec *spec;
    struct flags *flags;
    char **argv;
    int argc, at;
};

static rl_code refuse_flag(const struct walk *walk, const char *arg, struct rl_error *err)
{
    char *shown = rl_name_printable(arg);
    rl_fail(err, RL_E_INVAL, "there is no flag %.80s; `%s --help` lists them", shown,
            walk->spec->program);
    free(shown);
    return RL_E_INVAL;
}

static void add(struct walk *walk, const struct rl_setting *row, const char *text)
{
    walk->flags->items[walk->flags->count++] = (struct flag){row, text};
}

/* The value of a flag that carries none itself is the next argument. */
static rl_code add_next(struct walk *walk, const struct rl_setting *row, struct rl_error *err)
{
    if (walk->at >= walk->argc)
        return rl_fail(err, RL_E_INVAL, "--%s: needs a value", row->name);
    add(walk, row, walk->argv[walk->at++]);
    return RL_OK;
}

static rl_code parse_long(struct walk *walk, const char *arg, struct rl_error *err)
{
    const char *name = arg + 2;
    size_t n = strcspn(name, "=");
    const char *text = name[n] ? name + n + 1 : NULL;
    const struct rl_setting *row = rl_setting_find(walk->spec, name, n);
    if (row && text)
        add(walk, row, text);
    else if (row && row->type == RL_SETTING_SWITCH)
        add(walk, row, "yes");
    else if (row)
        return add_next(walk, row, err);
    else if (n == strlen("help") && strncmp(name, "help", n) == 0)
        walk->flags->help = text ? text : "";
    else {
        bool is_no = strncmp(name, "no-", 3) == 0 && !text;
        row = is_no ? rl_setting_find(walk->spec, name + 3, n - 3) : NULL;
        if (!row || row->type != RL_SETTING_SWITCH)
            return refuse_flag(walk, arg, err);
        add(walk, row, "no");
    }
    return RL_OK;
}

static const struct rl_setting *find_letter(const struct rl_settings_spec *spec, char letter)
{
    for (size_t i = 0; i < spec->count; i++)
        if (spec->rows[i].letter && spec->rows[i].letter == letter)
            return &spec->rows[i];
    return NULL;
}

/* "-A", "-At", "-l name", "-lname" */
static rl_code parse_letters(struct walk *walk, const char *arg, struct rl_error *err)
{
    for (const char *letter = arg + 1; *letter; letter++) {
        const struct rl_setting *row = find_letter(walk->spec, *letter);
        if (!row && *letter == 'h') {
            walk->flags->help = "";
        } else if (!row) {
            return refuse_flag(walk, arg, err);
        } else if (row->type == RL_SETTING_SWITCH) {
            add(walk, row, "yes");
        } else if (letter[1]) {
            add(walk, row, letter + 1);
            return RL_OK;
        } else {
            return add_next(walk, row, err);
        }
    }
    return RL_OK;
}

/* Orders argv anew: the positionals first, then the rest, each as they stood. */
static void order(char **argv, int argc, const bool *is_positional)
{
    char **rest = rl_alloc_array((size_t)argc, sizeof *rest);
    int kept = 1, moved = 0;
    for (int i = 1; i < argc; i++) {
        if (is_positional[i])
            argv[kept++] = argv[i];
        else
            rest[moved++] = argv[i];
    }
    for (int i = 0; i < moved; i++)
        argv[kept++] = rest[i];
    free(rest);
}

static rl_code walk_all(struct walk *walk, bool *is_positional, size_t *count, struct rl_error *err)
{
    bool has_ended = false;
    while (walk->at < walk->argc) {
        const char *arg = walk->argv[walk->at++];
        rl_code rc = RL_OK;
        if (has_ended || arg[0] != '-' || !arg[1]) { /* "-" alone is stdin */
            is_positional[walk->at - 1] = true;
            ++*count;
            has_ended = has_ended || walk->spec->stop_at_positional;
        } else if (strcmp(arg, "--") == 0) {
            has_ended = true;
        } else if (arg[1] == '-') {
            rc = parse_long(walk, arg, err);
        } else {
            rc = parse_letters(walk, arg, err);
        }
        if (rc != RL_OK)
            return rc;
    }
    return RL_OK;
}

/* No flag becomes more than its letters. */
static size_t count_flags_max(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc; i++)
        n += strlen(argv[i]) + 1;
    return n;
}

static rl_code check_count(const struct rl_settings_spec *spec, size_t count, char **argv,
                           struct rl_error *err)
{
    if (count <= spec->positional_max)
        return RL_OK;
    char *shown = rl_name_printable(argv[1 + spec->positional_max]);
    rl_fail(err, RL_E_INVAL, "\"%.80s\" is one argument too many; `%s --help` shows the usage",
            shown, spec->program);
    free(shown);
    return RL_E_INVAL;
}

rl_code rl_flags_parse(const struct rl_settings_spec *spec, int argc, char **argv,
                       struct flags *flags, struct rl_positionals *positionals,
                       struct rl_error *err)
{
    if (argc < 1)
        return RL_OK;
    flags->items = rl_alloc_array(count_flags_max(argc, argv), sizeof *flags->items);
    bool *is_positional = rl_alloc_array((size_t)argc, sizeof *is_positional);
    struct walk walk = {.spec = spec, .flags = flags, .argv = argv, .argc = argc, .at = 1};
    size_t count = 0;
    rl_code rc = walk_all(&walk, is_positional, &count, err);
    if (rc == RL_OK && !flags->help) {
        order(argv, argc, is_positional);
        rc = check_count(spec, count, argv, err);
        if (positionals)
            *positionals = (struct rl_positionals){argv + 1, count};
    }
    free(is_positional);
    return rc;
}
