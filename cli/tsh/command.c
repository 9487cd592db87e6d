/* command: what every command says when it fails. */
#include "tsh.h"

int tsh_fail(const struct rl_error *err)
{
    return rl_output_fail("tsh", err);
}

int tsh_usage(rl_code code, const struct rl_error *err)
{
    return rl_output_usage("tsh", code, err);
}
