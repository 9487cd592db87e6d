/* types: the contract's event types and their codes. A code is RL, four digits of the type, and a
 * letter of the outcome: I success, W denied, E failure.
 */
#include "event/event.h"

#include <string.h>

static const struct {
    const char *type;
    const char *number;
} types[] = {
    {"user.login", "1000"},
    {"user.logout", "1001"},
    {"user.create", "1002"},
    {"user.update", "1003"},
    {"user.delete", "1004"},
    {"user.password", "1005"},
    {"mfa.add", "1010"},
    {"mfa.remove", "1011"},
    {"cert.issue", "1020"},
    {"token.create", "1030"},
    {"token.use", "1031"},
    {"token.delete", "1032"},
    {"role.create", "1040"},
    {"role.update", "1041"},
    {"role.delete", "1042"},
    {"lock.create", "1050"},
    {"lock.update", "1051"},
    {"lock.delete", "1052"},
    {"trusted_cluster.create", "1060"},
    {"trusted_cluster.update", "1061"},
    {"trusted_cluster.delete", "1062"},
    {"access_request.create", "1070"},
    {"access_request.review", "1071"},
    {"auth.rotate", "1080"},
    {"config.update", "1090"},
    {"instance.join", "2000"},
    {"instance.attach", "2001"},
    {"instance.detach", "2002"},
    {"proxy.dial", "2010"},
    {"session.start", "3000"},
    {"session.join", "3001"},
    {"session.leave", "3002"},
    {"session.resize", "3003"},
    {"session.end", "3004"},
    {"session.rejected", "3005"},
    {"session.command", "3006"},
    {"session.upload", "3007"},
    {"session.playback", "3008"},
    {"sftp", "3010"},
    {"port.forward", "3011"},
    {"client.disconnect", "3012"},
    {"kube.request", "4000"},
    {"kube.exec", "4001"},
    {"app.session.start", "4010"},
    {"app.request", "4011"},
    {"app.session.end", "4012"},
};

static const char *number_of(const char *type)
{
    for (size_t i = 0; i < RL_COUNT(types); i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].number;
    return NULL;
}

bool rl_event_type_is_known(const char *type)
{
    return number_of(type) != NULL;
}

rl_code rl_event_code(const char *type, const char *outcome, char code[RL_EVENT_CODE_BYTES],
                      struct rl_error *err)
{
    const char *number = number_of(type);
    if (!number)
        return rl_fail(err, RL_E_INVAL, "no event type is called \"%.64s\"", type);
    char letter = strcmp(outcome, "success") == 0   ? 'I'
                  : strcmp(outcome, "denied") == 0  ? 'W'
                  : strcmp(outcome, "failure") == 0 ? 'E'
                                                    : '\0';
    if (!letter)
        return rl_fail(err, RL_E_INVAL, "an outcome is success, failure or denied, not \"%.16s\"",
                       outcome);
    memcpy(code, "RL", 2);
    memcpy(code + 2, number, 4);
    code[6] = letter;
    code[7] = '\0';
    return RL_OK;
}
