/* What tsh is given by others: a proxy's answer to GET /v1/ping, an invitation out of a mail, a
 * target that came through a shell. What passes is safe in a request, an SNI and a file of
 * OpenSSH's. */
#include "invitation.h"
#include "target.h"
#include "webping.h"

#include "bytes/buf.h"
#include "identity/identity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_plain(const char *text)
{
    RL_ASSERT(*text && !strpbrk(text, " \t\r\n'\"\\$`;|&<>*?\x1b\x7f"));
}

static void as_ping(const char *answer)
{
    char *pin = NULL;
    if (tsh_webping_read(answer, &pin, NULL) != RL_OK)
        return;
    RL_ASSERT(rl_identity_pin_check(pin, NULL) == RL_OK);
    free(pin);
}

static void as_target(const char *text)
{
    struct tsh_target target;
    if (tsh_target_parse(text, "main", &target, NULL) != RL_OK)
        return;
    expect_plain(target.name);
    expect_plain(target.cluster);
    RL_ASSERT(target.port > 0 && target.name[0] != '-');
    tsh_target_fini(&target);
}

static void as_invitation(const char *url)
{
    struct tsh_invitation invitation;
    if (tsh_invitation_parse(url, &invitation, NULL) != RL_OK)
        return;
    expect_plain(invitation.proxy);
    RL_ASSERT(*invitation.token && !strchr(invitation.token, '#'));
    tsh_invitation_fini(&invitation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = rl_span_to_string(RL_SPAN(data, size));
    if (!text)
        return 0;
    as_ping(text);
    as_target(text);
    as_invitation(text);
    free(text);
    return 0;
}
