/* program: the overview of a program's commands, as a man page, as Markdown, as bare names. */
#include "settings/program.h"

#include "settings/internal.h"

#include <string.h>

static void print_man(const struct rl_program *program, FILE *to)
{
    int section = program->section ? program->section : 1;
    fprintf(to, ".TH \"%s\" %d \"\" \"Remoteler %s\" \"Remoteler\"\n.SH NAME\n", program->name,
            section, RL_VERSION);
    fprintf(to, "%s \\- ", program->name);
    rl_settings_put_roff(program->summary, to);
    fprintf(to, "\n.SH SYNOPSIS\n\\fB%s\\fR COMMAND [flags]\n.SH COMMANDS\n", program->name);
    for (size_t i = 0; i < program->count; i++) {
        const struct rl_settings_spec *command = program->commands[i];
        fprintf(to, ".TP\n\\fB%s\\fR\n", command->program);
        rl_settings_put_roff(command->summary, to);
        fputs(".\n", to);
    }
    fputs(
        ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 not logged in or expired, 4 denied.\n"
        ".SH SEE ALSO\nEach command has a page of its own: the words of the command joined by "
        "dashes.\n",
        to);
}

static void print_markdown(const struct rl_program *program, FILE *to)
{
    fprintf(to, "# %s\n\n%s\n\n", program->name, program->summary);
    for (size_t i = 0; i < program->count; i++) {
        if (i)
            fputc('\n', to);
        rl_settings_print_markdown(program->commands[i], to);
    }
}

static void print_commands(const struct rl_program *program, FILE *to)
{
    for (size_t i = 0; i < program->count; i++)
        fprintf(to, "%s\n", program->commands[i]->program);
}

bool rl_program_show(const struct rl_program *program, int argc, char **argv)
{
    if (argc != 2)
        return false;
    if (strcmp(argv[1], "--help=man") == 0)
        print_man(program, stdout);
    else if (strcmp(argv[1], "--help=markdown") == 0)
        print_markdown(program, stdout);
    else if (strcmp(argv[1], "--help=commands") == 0)
        print_commands(program, stdout);
    else
        return false;
    return true;
}
