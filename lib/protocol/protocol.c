#include "protocol/protocol.h"

static uint32_t said(uint32_t version)
{
    return version ? version : 1;
}

rl_code rl_protocol_check(uint32_t newest, uint32_t oldest, const char *who, struct rl_error *err)
{
    if (said(newest) < RL_PROTOCOL_MIN)
        return rl_fail(err, RL_E_PRECONDITION,
                       "%s speaks protocol %u, and this program %d at least: upgrade %s", who,
                       said(newest), RL_PROTOCOL_MIN, who);
    if (said(oldest) > RL_PROTOCOL)
        return rl_fail(err, RL_E_PRECONDITION,
                       "%s speaks protocol %u at least, and this program %d: upgrade this program",
                       who, said(oldest), RL_PROTOCOL);
    return RL_OK;
}
