/* output: one value, three ways to show it. */
#include "output/internal.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>

rl_code rl_format_parse(const char *name, enum rl_format *out, struct rl_error *err)
{
    static const char *const names[] = {"text", "json", "yaml"};
    for (size_t i = 0; i < RL_COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum rl_format)i;
            return RL_OK;
        }
    char *shown = rl_name_printable(name);
    rl_fail(err, RL_E_INVAL, "\"%.40s\" is not a format; it is text, json or yaml", shown);
    free(shown);
    return RL_E_INVAL;
}

rl_code rl_output_finish(FILE *to, struct rl_error *err)
{
    if (fflush(to) != 0 || ferror(to))
        return rl_fail_errno(err, RL_E_DATA_LOSS, "writing the output");
    return RL_OK;
}

rl_code rl_output_value(FILE *to, enum rl_format format, json_t *value, struct rl_error *err)
{
    if (format == RL_FORMAT_YAML) {
        rl_code rc = rl_yaml_print(to, value, err);
        return rc == RL_OK ? rl_output_finish(to, err) : rc;
    }
    if (json_dumpf(value, to, JSON_INDENT(2) | JSON_ENCODE_ANY) < 0)
        return rl_fail(err, RL_E_DATA_LOSS, "writing the output as JSON failed");
    fputc('\n', to);
    return rl_output_finish(to, err);
}

rl_code rl_output_table(FILE *to, enum rl_format format, json_t *array,
                        const struct rl_column *columns, size_t count, const char *empty,
                        struct rl_error *err)
{
    RL_ASSERT(json_is_array(array));
    if (format != RL_FORMAT_TEXT)
        return rl_output_value(to, format, array, err);
    return rl_text_print_table(to, array, columns, count, empty, err);
}

rl_code rl_output_object(FILE *to, enum rl_format format, json_t *object,
                         const struct rl_column *columns, size_t count, struct rl_error *err)
{
    RL_ASSERT(json_is_object(object));
    if (format != RL_FORMAT_TEXT)
        return rl_output_value(to, format, object, err);
    rl_text_print_object(to, object, columns, count);
    return rl_output_finish(to, err);
}

int rl_exit_of(rl_code code)
{
    switch (code) {
    case RL_OK:
        return RL_EXIT_DONE;
    case RL_E_UNAUTHENTICATED:
        return RL_EXIT_LOGIN;
    case RL_E_DENIED:
        return RL_EXIT_DENIED;
    default:
        return RL_EXIT_FAILED;
    }
}
