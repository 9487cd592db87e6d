/* say: messages for the person at the terminal. They quote servers as often as not, so each goes
 * out as one printable line.
 */
#include "output/output.h"

#include "names/names.h"

#include <stdlib.h>

void rl_output_say(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    char *printable = rl_name_printable(text);
    fprintf(stderr, "%s\n", printable);
    free(printable);
    free(text);
}

int rl_output_fail(const char *program, const struct rl_error *err)
{
    rl_output_say("%s: %s", program, err->message);
    return rl_exit_of(err->code);
}

int rl_output_usage(const char *program, rl_code code, const struct rl_error *err)
{
    if (code == RL_E_CANCELLED)
        return RL_EXIT_DONE;
    rl_output_say("%s: %s", program, err->message);
    return RL_EXIT_USAGE;
}
