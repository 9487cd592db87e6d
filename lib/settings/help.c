/* help: the table for the terminal. */
#include "settings/internal.h"

#include <stdlib.h>
#include <string.h>

#define WIDTH 80
#define LEFT_MAX 32 /* a longer flag gets a line to itself */

const char *rl_setting_value_word(const struct rl_setting *row)
{
    switch (row->type) {
    case RL_SETTING_TEXT:
        return "TEXT";
    case RL_SETTING_LIST:
        return "A,B,...";
    case RL_SETTING_NUMBER:
        return "N";
    case RL_SETTING_DURATION:
        return "TIME";
    case RL_SETTING_ADDRESS:
        return "HOST:PORT";
    case RL_SETTING_ADDRESSES:
        return "HOST:PORT,...";
    case RL_SETTING_FILE:
        return "FILE";
    case RL_SETTING_SWITCH:
        break;
    }
    return NULL;
}

/* "-l, --login=TEXT" */
static char *left_of(const struct rl_setting *row)
{
    char letter[] = "    ";
    if (row->letter)
        memcpy(letter, (const char[]){'-', row->letter, ','}, 3);
    const char *word = rl_setting_value_word(row);
    return rl_sprintf("%s--%s%s%s", letter, row->name, word ? "=" : "", word ? word : "");
}

bool rl_setting_is_on(const struct rl_setting *row)
{
    return row->type == RL_SETTING_SWITCH && row->fallback &&
           (strcmp(row->fallback, "yes") == 0 || strcmp(row->fallback, "true") == 0);
}

/* The default as a person reads it; "" when there is nothing to say. Heap. */
static char *default_of(const struct rl_setting *row)
{
    if (row->type == RL_SETTING_SWITCH)
        return rl_setting_is_on(row) ? rl_sprintf(" (on; off with --no-%s)", row->name)
                                     : rl_strdup("");
    bool is_shown = row->fallback && *row->fallback;
    return is_shown ? rl_sprintf(" (default %s)", row->fallback) : rl_strdup("");
}

static char *right_of(const struct rl_settings_spec *spec, const struct rl_setting *row)
{
    char *fallback = default_of(row);
    char *unit = row->unit ? rl_sprintf(", in %s", row->unit) : rl_strdup("");
    char *variable = rl_setting_environment(spec, row);
    char *environment = variable ? rl_sprintf(" [%s]", variable) : rl_strdup("");
    char *right = rl_sprintf("%s%s%s%s%s", row->help, unit, fallback,
                             row->required ? " (needed)" : "", environment);
    free(environment);
    free(variable);
    free(unit);
    free(fallback);
    return right;
}

/* Words from column `indent` on, the first line continuing what stands there. */
static void print_words(FILE *to, const char *text, int indent)
{
    int column = indent;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column > indent && column + 1 + n > WIDTH) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', to);
}

static void print_row(const struct rl_settings_spec *spec, const struct rl_setting *row,
                      int left_width, FILE *to)
{
    char *left = left_of(row);
    char *right = right_of(spec, row);
    if ((int)strlen(left) > left_width)
        fprintf(to, "  %s\n%*s", left, left_width + 4, "");
    else
        fprintf(to, "  %-*s  ", left_width, left);
    print_words(to, right, left_width + 4);
    free(right);
    free(left);
}

static int left_width_of(const struct rl_settings_spec *spec)
{
    int width = (int)strlen("-h, --help");
    for (size_t i = 0; i < spec->count; i++) {
        if (!spec->rows[i].help)
            continue;
        char *left = left_of(&spec->rows[i]);
        int n = (int)strlen(left);
        if (n > width && n <= LEFT_MAX)
            width = n;
        free(left);
    }
    return width;
}

static void print_example(const char *example, FILE *to)
{
    fputs("\nExample:\n", to);
    while (*example) {
        int n = (int)strcspn(example, "\n");
        fprintf(to, "  %.*s\n", n, example);
        example += n + (example[n] == '\n');
    }
}

void rl_settings_print_help(const struct rl_settings_spec *spec, FILE *to)
{
    if (spec->summary)
        fprintf(to, "%s\n\n", spec->summary);
    fprintf(to, "Usage: %s %s\n\nFlags:\n", spec->program, spec->usage ? spec->usage : "[flags]");
    int width = left_width_of(spec);
    for (size_t i = 0; i < spec->count; i++)
        if (spec->rows[i].help)
            print_row(spec, &spec->rows[i], width, to);
    static const struct rl_setting help = {.name = "help",
                                           .type = RL_SETTING_SWITCH,
                                           .letter = 'h',
                                           .help = "Show this",
                                           .is_secret = true};
    print_row(spec, &help, width, to);
    if (spec->example)
        print_example(spec->example, to);
}
