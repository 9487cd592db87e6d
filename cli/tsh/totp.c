#include "totp.h"

#include "clock/clock.h"

#include <liboath/oath.h>
#include <stdlib.h>

rl_code tsh_totp_now(struct rl_span secret, char **code, struct rl_error *err)
{
    char *text = rl_alloc(16);
    if (oath_totp_generate((const char *)secret.p, secret.n, (time_t)rl_clock_wall_s(),
                           OATH_TOTP_DEFAULT_TIME_STEP_SIZE, OATH_TOTP_DEFAULT_START_TIME, 6,
                           text) != OATH_OK) {
        free(text);
        return rl_fail(err, RL_E_INTERNAL, "no one-time code could be made");
    }
    *code = text;
    return RL_OK;
}
