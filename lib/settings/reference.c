/* reference: the table as a man page and as Markdown. */
#include "settings/internal.h"

#include "clock/clock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- roff ---- */

/* A "-" is a minus that can be copied, and no line begins a request by accident. */
void rl_settings_put_roff(const char *text, FILE *to)
{
    bool is_line_start = true;
    for (; *text; text++) {
        if (is_line_start && (*text == '.' || *text == '\''))
            fputs("\\&", to);
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
        is_line_start = *text == '\n';
    }
}

static void put_roff_upper(const char *text, FILE *to)
{
    for (; *text; text++) {
        if (*text == ' ')
            fputs("\\-", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text, to);
    }
}

static void put_roff_row(const struct rl_settings_spec *spec, const struct rl_setting *row,
                         FILE *to)
{
    char *variable = rl_setting_environment(spec, row);
    const char *word = rl_setting_value_word(row);
    fputs(".TP\n", to);
    if (row->letter)
        fprintf(to, "\\fB\\-%c\\fR, ", row->letter);
    fputs("\\fB\\-\\-", to);
    rl_settings_put_roff(row->name, to);
    fputs("\\fR", to);
    if (word)
        fprintf(to, "=\\fI%s\\fR", word);
    fputc('\n', to);
    rl_settings_put_roff(row->help, to);
    if (row->unit)
        fprintf(to, ", in %s", row->unit);
    fputs(".\n", to);
    if (row->fallback && *row->fallback) {
        fputs("Default: ", to);
        rl_settings_put_roff(row->fallback, to);
        fputs(".\n", to);
    }
    if (variable)
        fprintf(to, "Environment: \\fB%s\\fR.\n", variable);
    if (row->required)
        fputs("Needed.\n", to);
    free(variable);
}

void rl_settings_print_man(const struct rl_settings_spec *spec, int section, FILE *to)
{
    fputs(".TH \"", to);
    put_roff_upper(spec->program, to);
    fprintf(to, "\" %d \"\" \"Remoteler %s\" \"Remoteler\"\n.SH NAME\n", section, RL_VERSION);
    rl_settings_put_roff(spec->program, to);
    fputs(" \\- ", to);
    rl_settings_put_roff(spec->summary ? spec->summary : "", to);
    fputs("\n.SH SYNOPSIS\n\\fB", to);
    rl_settings_put_roff(spec->program, to);
    fputs("\\fR ", to);
    rl_settings_put_roff(spec->usage ? spec->usage : "[flags]", to);
    fputs(spec->count ? "\n.SH OPTIONS\n" : "\n", to);
    for (size_t i = 0; i < spec->count; i++)
        if (spec->rows[i].help)
            put_roff_row(spec, &spec->rows[i], to);
    if (spec->file_setting) {
        fputs(".SH FILES\nThe file that \\fB\\-\\-", to);
        rl_settings_put_roff(spec->file_setting, to);
        fputs(
            "\\fR names is YAML, \\fIname\\fR: \\fIvalue\\fR for each option, without the dashes.\n"
            "A flag goes before the environment, that before the file, that before the default.\n",
            to);
    }
    if (spec->example) {
        fputs(".SH EXAMPLES\n.nf\n", to);
        rl_settings_put_roff(spec->example, to);
        fputs("\n.fi\n", to);
    }
}

/* ---- Markdown ---- */

/* In a table's cell: a bar would end it. */
static void put_cell(const char *text, FILE *to)
{
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", to);
        else
            fputc(*text == '\n' ? ' ' : *text, to);
    }
}

static void put_range(const struct rl_setting *row, FILE *to)
{
    if (row->min == 0 && row->max == 0)
        return;
    if (row->type == RL_SETTING_DURATION) {
        char min[RL_CLOCK_TEXT_BYTES], max[RL_CLOCK_TEXT_BYTES];
        rl_duration_format((uint64_t)row->min, min);
        rl_duration_format((uint64_t)row->max, max);
        fprintf(to, "%s to %s", min, max);
    } else if (row->type == RL_SETTING_NUMBER) {
        fprintf(to, "%" PRId64 " to %" PRId64 "%s%s", row->min, row->max, row->unit ? " " : "",
                row->unit ? row->unit : "");
    }
}

static void put_code(const char *text, FILE *to)
{
    if (!text || !*text)
        return;
    fputc('`', to);
    put_cell(text, to);
    fputc('`', to);
}

static void put_markdown_row(const struct rl_settings_spec *spec, const struct rl_setting *row,
                             FILE *to)
{
    char *variable = rl_setting_environment(spec, row);
    const char *word = rl_setting_value_word(row);
    fputs("| `", to);
    if (row->letter)
        fprintf(to, "-%c`, `", row->letter);
    fprintf(to, "--%s%s%s` | ", row->name, word ? "=" : "", word ? word : "");
    put_range(row, to);
    fputs(" | ", to);
    if (row->required)
        fputs("needed", to);
    else
        put_code(row->fallback, to);
    fputs(" | ", to);
    put_code(variable, to);
    fputs(" | ", to);
    put_cell(row->help, to);
    fputs(" |\n", to);
    free(variable);
}

void rl_settings_print_markdown(const struct rl_settings_spec *spec, FILE *to)
{
    fprintf(to, "## %s\n\n", spec->program);
    if (spec->summary)
        fprintf(to, "%s\n\n", spec->summary);
    fprintf(to, "```\n%s %s\n```\n\n", spec->program, spec->usage ? spec->usage : "[flags]");
    if (spec->count)
        fputs("| setting | range | default | environment | |\n|---|---|---|---|---|\n", to);
    for (size_t i = 0; i < spec->count; i++)
        if (spec->rows[i].help)
            put_markdown_row(spec, &spec->rows[i], to);
    if (spec->example)
        fprintf(to, "\n```\n%s\n```\n", spec->example);
}
