#include "invitation.h"

#include "bytes/secret.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define SCHEME "https://"
#define PATH "/invite/"
#define PORT_OF_HTTPS ":443"

/* With the port that https has when none is said. */
static rl_code read_proxy(const char *text, size_t n, char **out, struct rl_error *err)
{
    char *host = NULL;
    uint16_t port = 0;
    char *proxy = rl_sprintf("%.*s", (int)n, text);
    if (rl_address_split(proxy, &host, &port, NULL) != RL_OK) {
        char *with_port = rl_sprintf("%s" PORT_OF_HTTPS, proxy);
        free(proxy);
        proxy = with_port;
    }
    free(host);
    host = NULL;
    rl_code rc = rl_address_split(proxy, &host, &port, err);
    if (rc == RL_OK)
        *out = proxy;
    else
        free(proxy);
    free(host);
    return rc;
}

rl_code tsh_invitation_parse(const char *url, struct tsh_invitation *out, struct rl_error *err)
{
    bool is_https = strncmp(url, SCHEME, strlen(SCHEME)) == 0;
    const char *host = is_https ? url + strlen(SCHEME) : url;
    const char *path = is_https ? strstr(host, PATH) : NULL;
    const char *token = path ? path + strlen(PATH) : "";
    size_t token_bytes = strcspn(token, "#");
    const char *pin = token[token_bytes] ? token + token_bytes + 1 : "";
    if (token_bytes == 0)
        return rl_fail(
            err, RL_E_INVAL,
            "\"%.80s\" is not an invitation; it looks like https://HOST:PORT" PATH "TOKEN", url);
    char *proxy = NULL;
    rl_code rc = read_proxy(host, (size_t)(path - host), &proxy, err);
    if (rc != RL_OK)
        return rc;
    *out = (struct tsh_invitation){
        .proxy = proxy,
        .token = rl_sprintf("%.*s", (int)token_bytes, token),
        .pin = pin[0] ? rl_strdup(pin) : NULL,
    };
    return RL_OK;
}

void tsh_invitation_fini(struct tsh_invitation *invitation)
{
    free(invitation->proxy);
    rl_wipe_text(&invitation->token);
    free(invitation->pin);
    *invitation = (struct tsh_invitation){0};
}
