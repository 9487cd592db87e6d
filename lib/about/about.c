#include "about/about.h"

#include "output/output.h"

#include <stddef.h>

struct version_settings {
    char *format;
};

const struct rl_setting rl_about_version_rows[1] = {
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct version_settings, format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

static int say(const char *program, rl_code rc, const struct rl_error *err)
{
    bool is_usage = rc == RL_E_INVAL || rc == RL_E_CANCELLED;
    return is_usage ? rl_output_usage(program, rc, err) : rl_output_fail(program, err);
}

int rl_about_version(const struct rl_settings_spec *spec, const char *program, int argc,
                     char **argv)
{
    struct version_settings settings = {0};
    struct rl_error err;
    enum rl_format format;
    rl_code rc = rl_settings_read(spec, argc, argv, &settings, NULL, &err);
    if (rc == RL_OK)
        rc = rl_format_parse(settings.format, &format, &err);
    if (rc == RL_OK)
        rc = rl_output_version(stdout, format, program, &err);
    rl_settings_free(spec, &settings);
    return rc == RL_OK ? RL_EXIT_DONE : say(program, rc, &err);
}

int rl_about_completion(const struct rl_settings_spec *spec, const struct rl_program *program,
                        int argc, char **argv)
{
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(spec, argc, argv, NULL, &rest, &err);
    if (rc == RL_OK && rest.count == 0)
        rc = rl_fail(&err, RL_E_INVAL, "for which shell? bash, zsh or fish");
    if (rc == RL_OK)
        rc = rl_program_print_completion(program, rest.items[0], stdout, &err);
    return rc == RL_OK ? RL_EXIT_DONE : say(program->name, rc, &err);
}
