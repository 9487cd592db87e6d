/* completion: scripts for bash, zsh and fish. All three walk the typed words down the program's
 * commands, "/proxy/ssh", and offer what the table has at that place. What a script contains is
 * written by us alone, but help texts have quotes and brackets: each shell's own escapes are here.
 */
#include "settings/program.h"

#include "names/names.h"
#include "settings/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- the commands as a tree ---- */

/* "users add" of "tctl users add". */
static const char *words_of(const struct rl_program *program,
                            const struct rl_settings_spec *command)
{
    size_t n = strlen(program->name);
    RL_ASSERT(strncmp(command->program, program->name, n) == 0 && command->program[n] == ' ');
    return command->program + n + 1;
}

/* The group of "users add" is "users"; a single word has none. */
static size_t group_bytes(const char *words)
{
    const char *space = strchr(words, ' ');
    return space ? (size_t)(space - words) : 0;
}

/* Whether the command is the first of its group, where the group's own lines are printed. */
static bool begins_group(const struct rl_program *program, size_t at)
{
    const char *words = words_of(program, program->commands[at]);
    size_t n = group_bytes(words);
    if (!n)
        return false;
    for (size_t i = 0; i < at; i++) {
        const char *before = words_of(program, program->commands[i]);
        if (group_bytes(before) == n && strncmp(before, words, n) == 0)
            return false;
    }
    return true;
}

/* "/users/add" */
static void put_place(const char *words, FILE *to)
{
    fputc('/', to);
    for (; *words; words++)
        fputc(*words == ' ' ? '/' : *words, to);
}

static void put_places(const struct rl_program *program, const char *between, FILE *to)
{
    const char *separator = "";
    for (size_t i = 0; i < program->count; i++) {
        const char *words = words_of(program, program->commands[i]);
        if (begins_group(program, i)) {
            fprintf(to, "%s/%.*s", separator, (int)group_bytes(words), words);
            separator = between;
        }
        fputs(separator, to);
        put_place(words, to);
        separator = between;
    }
}

/* The text without what ends it or means more to the shell. */
static void put_quoted(const char *text, const char *special, const char *escape, FILE *to)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(escape, to);
        else if (strchr(special, *text))
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

/* ---- bash ---- */

static void put_bash_command(const struct rl_settings_spec *command, FILE *to)
{
    fputs(") words='", to);
    for (size_t i = 0; i < command->count; i++) {
        const struct rl_setting *row = &command->rows[i];
        if (!row->help)
            continue;
        fprintf(to, "--%s%s%s ", rl_setting_is_on(row) ? "no-" : "", row->name,
                rl_setting_value_word(row) ? "=" : "");
    }
    fputs("--help' files='", to);
    for (size_t i = 0; i < command->count; i++)
        if (command->rows[i].help && command->rows[i].type == RL_SETTING_FILE)
            fprintf(to, " --%s ", command->rows[i].name);
    fputs("' ;;\n", to);
}

static void put_bash_group(const struct rl_program *program, const char *group, size_t n, FILE *to)
{
    fprintf(to, "    /%.*s) words='", (int)n, group);
    for (size_t i = 0; i < program->count; i++) {
        const char *words = words_of(program, program->commands[i]);
        if (group_bytes(words) == n && strncmp(words, group, n) == 0)
            fprintf(to, "%s ", words + n + 1);
    }
    fputs("--help' ;;\n", to);
}

static void put_bash_top(const struct rl_program *program, FILE *to)
{
    fputs("    '') words='", to);
    for (size_t i = 0; i < program->count; i++) {
        const char *words = words_of(program, program->commands[i]);
        size_t n = group_bytes(words);
        if (!n)
            fprintf(to, "%s ", words);
        else if (begins_group(program, i))
            fprintf(to, "%.*s ", (int)n, words);
    }
    fputs("--help' ;;\n", to);
}

/* bash takes "--file=x" for three words. */
static void print_bash(const struct rl_program *program, FILE *to)
{
    const char *name = program->name;
    fprintf(to, "# bash completion for %s, made by `%s completion bash`\n_%s()\n{\n", name, name,
            name);
    fputs("    local current=${COMP_WORDS[COMP_CWORD]} place='' word words='' files='' flag=''\n"
          "    COMPREPLY=()\n"
          "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
          "        case $place/$word in\n        ",
          to);
    put_places(program, " | ", to);
    fputs(") place+=/$word ;;\n        esac\n    done\n    case $place in\n", to);
    put_bash_top(program, to);
    for (size_t i = 0; i < program->count; i++) {
        const char *words = words_of(program, program->commands[i]);
        if (begins_group(program, i))
            put_bash_group(program, words, group_bytes(words), to);
        fputs("    ", to);
        put_place(words, to);
        put_bash_command(program->commands[i], to);
    }
    fputs("    esac\n"
          "    if [ \"$current\" = = ]; then\n"
          "        flag=${COMP_WORDS[COMP_CWORD - 1]} current=''\n"
          "    elif [ \"${COMP_WORDS[COMP_CWORD - 1]}\" = = ]; then\n"
          "        flag=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    if [ -n \"$flag\" ]; then\n"
          "        case $files in *\" $flag \"*)\n"
          "            mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "            compopt -o filenames 2>/dev/null\n"
          "            ;;\n"
          "        esac\n"
          "        return 0\n"
          "    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "    case ${COMPREPLY[*]} in *=) compopt -o nospace 2>/dev/null ;; esac\n"
          "    return 0\n"
          "}\n",
          to);
    fprintf(to, "complete -o default -F _%s %s\n", name, name);
}

/* ---- zsh ---- */

#define ZSH_QUOTE "'\\''"

static void put_zsh_item(const char *words, size_t n, const char *help, FILE *to)
{
    fprintf(to, " '%.*s:", (int)n, words);
    put_quoted(help, ":", ZSH_QUOTE, to);
    fputc('\'', to);
}

static void put_zsh_row(const struct rl_setting *row, FILE *to)
{
    const char *word = rl_setting_value_word(row);
    fprintf(to, " \\\n            '*--%s%s%s[", rl_setting_is_on(row) ? "no-" : "", row->name,
            word ? "=" : "");
    put_quoted(row->help, "[]:", ZSH_QUOTE, to);
    fputc(']', to);
    if (word) {
        fputc(':', to);
        put_quoted(word, ":", ZSH_QUOTE, to);
        fputs(row->type == RL_SETTING_FILE ? ":_files" : ": ", to);
    }
    fputc('\'', to);
}

static void put_zsh_command(const struct rl_settings_spec *command, FILE *to)
{
    fputs(")\n        _arguments", to);
    for (size_t i = 0; i < command->count; i++)
        if (command->rows[i].help)
            put_zsh_row(&command->rows[i], to);
    fputs(" \\\n            '(- *)--help[Show help]' '*:argument:_files' ;;\n", to);
}

static void put_zsh_group(const struct rl_program *program, const char *group, size_t n, FILE *to)
{
    fprintf(to, "    /%.*s)\n        list=(", (int)n, group);
    for (size_t i = 0; i < program->count; i++) {
        const struct rl_settings_spec *command = program->commands[i];
        const char *words = words_of(program, command);
        if (group_bytes(words) == n && strncmp(words, group, n) == 0)
            put_zsh_item(words + n + 1, strlen(words + n + 1), command->summary, to);
    }
    fputs(")\n        _describe command list ;;\n", to);
}

static void put_zsh_top(const struct rl_program *program, FILE *to)
{
    fputs("    '')\n        list=(", to);
    for (size_t i = 0; i < program->count; i++) {
        const struct rl_settings_spec *command = program->commands[i];
        const char *words = words_of(program, command);
        size_t n = group_bytes(words);
        if (!n || begins_group(program, i))
            put_zsh_item(words, n ? n : strlen(words), n ? "more commands" : command->summary, to);
    }
    fputs(")\n        _describe command list ;;\n", to);
}

static void print_zsh(const struct rl_program *program, FILE *to)
{
    const char *name = program->name;
    fprintf(to, "#compdef %s\n# made by `%s completion zsh`\n_%s()\n{\n", name, name, name);
    fputs("    local place='' word\n    local -a list\n"
          "    for word in ${words[2,CURRENT-1]}; do\n"
          "        case $place/$word in\n        ",
          to);
    put_places(program, "|", to);
    fputs(") place+=/$word ;;\n        esac\n    done\n    case $place in\n", to);
    put_zsh_top(program, to);
    for (size_t i = 0; i < program->count; i++) {
        const char *words = words_of(program, program->commands[i]);
        if (begins_group(program, i))
            put_zsh_group(program, words, group_bytes(words), to);
        fputs("    ", to);
        put_place(words, to);
        put_zsh_command(program->commands[i], to);
    }
    fprintf(to,
            "    esac\n}\n"
            "if [ \"$funcstack[1]\" = _%s ]; then _%s \"$@\"; else compdef _%s %s; fi\n",
            name, name, name, name);
}

/* ---- fish ---- */

static void put_fish_item(const char *name, const char *group, size_t group_n, const char *words,
                          size_t n, const char *help, FILE *to)
{
    fprintf(to, "complete -c %s -f -n '__%s_at \"%s%.*s\"' -a %.*s -d '", name, name,
            group_n ? "/" : "", (int)group_n, group, (int)n, words);
    put_quoted(help, "\\", "\\'", to);
    fputs("'\n", to);
}

static void put_fish_row(const char *name, const char *words, const struct rl_setting *row,
                         FILE *to)
{
    fprintf(to, "complete -c %s -n '__%s_at \"", name, name);
    put_place(words, to);
    fprintf(to, "\"' -l %s%s", rl_setting_is_on(row) ? "no-" : "", row->name);
    if (row->letter)
        fprintf(to, " -s %c", row->letter);
    if (rl_setting_value_word(row))
        fputs(row->type == RL_SETTING_FILE ? " -r -F" : " -x", to);
    fputs(" -d '", to);
    put_quoted(row->help, "\\", "\\'", to);
    fputs("'\n", to);
}

static void put_fish_command(const struct rl_program *program, size_t at, FILE *to)
{
    const struct rl_settings_spec *command = program->commands[at];
    const char *words = words_of(program, command);
    size_t n = group_bytes(words);
    if (begins_group(program, at))
        put_fish_item(program->name, "", 0, words, n, "more commands", to);
    const char *last = n ? words + n + 1 : words;
    put_fish_item(program->name, words, n, last, strlen(last), command->summary, to);
    for (size_t i = 0; i < command->count; i++)
        if (command->rows[i].help)
            put_fish_row(program->name, words, &command->rows[i], to);
}

static void print_fish(const struct rl_program *program, FILE *to)
{
    const char *name = program->name;
    fprintf(to, "# fish completion for %s, made by `%s completion fish`\nfunction __%s_at\n", name,
            name, name);
    fputs("    set -l place ''\n"
          "    for word in (commandline -opc)[2..-1]\n"
          "        switch \"$place/$word\"\n            case ",
          to);
    put_places(program, " ", to);
    fputs("\n                set place \"$place/$word\"\n        end\n    end\n"
          "    test \"$place\" = \"$argv[1]\"\nend\n",
          to);
    for (size_t i = 0; i < program->count; i++)
        put_fish_command(program, i, to);
}

rl_code rl_program_print_completion(const struct rl_program *program, const char *shell, FILE *to,
                                    struct rl_error *err)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(program, to);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(program, to);
    else if (strcmp(shell, "fish") == 0)
        print_fish(program, to);
    else {
        char *shown = rl_name_printable(shell);
        rl_fail(err, RL_E_INVAL, "\"%.80s\" is not bash, zsh or fish", shown);
        free(shown);
        return RL_E_INVAL;
    }
    return RL_OK;
}
