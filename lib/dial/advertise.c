/* advertise: what a listener is called by those who dial it. */
#include "dial/dial.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOST_NAME_BYTES_MAX 256

char *rl_listen_advertised(const char *listen, uint16_t port)
{
    char *host = NULL;
    uint16_t asked = 0;
    if (!listen || rl_address_split(listen, &host, &asked, NULL) != RL_OK)
        return NULL;
    char name[HOST_NAME_BYTES_MAX] = "";
    bool is_wildcard = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    if (is_wildcard && gethostname(name, sizeof name - 1) == 0 && *name) {
        free(host);
        host = rl_strdup(name);
    }
    bool is_v6 = strchr(host, ':') != NULL;
    char *text = rl_sprintf("%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    free(host);
    return text;
}
