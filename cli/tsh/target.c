#include "target.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define SSH_PORT 22

static rl_code parse_port(const char *text, uint16_t *port, struct rl_error *err)
{
    uint32_t value = 0;
    size_t n = strspn(text, "0123456789");
    for (size_t i = 0; i < n && value <= UINT16_MAX; i++)
        value = value * 10 + (uint32_t)(text[i] - '0');
    if (n == 0 || text[n] || value < 1 || value > UINT16_MAX)
        return rl_fail(err, RL_E_INVAL, "\"%.80s\" is not a port", text);
    *port = (uint16_t)value;
    return RL_OK;
}

/* Cuts ".CLUSTER" off. */
static rl_code cut_cluster(char *node, const char *own_cluster, struct rl_error *err)
{
    char *dot = strchr(node, '.');
    if (!dot)
        return RL_OK;
    if (strcmp(dot + 1, own_cluster) != 0)
        return rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%.253s\"; this is %s", dot + 1,
                       own_cluster);
    *dot = '\0';
    return RL_OK;
}

rl_code tsh_target_parse(const char *text, const char *own_cluster, struct tsh_target *out,
                         struct rl_error *err)
{
    const char *at = strrchr(text, '@');
    char *node = rl_strdup(at ? at + 1 : text);
    char *colon = strrchr(node, ':');
    uint16_t port = SSH_PORT;
    rl_code rc = colon ? parse_port(colon + 1, &port, err) : RL_OK;
    if (colon)
        *colon = '\0';
    if (rc == RL_OK)
        rc = cut_cluster(node, own_cluster, err);
    if (rc == RL_OK && rl_name_check_node(node, NULL) != RL_OK && !rl_name_is_uuid(node))
        rc = rl_fail(err, RL_E_INVAL, "\"%.64s\" is not the name or id of a node", node);
    if (rc == RL_OK)
        *out = (struct tsh_target){.name = node, .port = port};
    else
        free(node);
    return rc;
}

void tsh_target_fini(struct tsh_target *target)
{
    free(target->name);
    target->name = NULL;
}

void tsh_target_split(const char *text, const char *own_cluster, char **login, char **node)
{
    const char *at = strrchr(text, '@');
    if (at && at != text) {
        free(*login);
        *login = rl_sprintf("%.*s", (int)(at - text), text);
    }
    *node = rl_strdup(at ? at + 1 : text);
    size_t n = strlen(*node), suffix = strlen(own_cluster);
    if (n > suffix + 1 && (*node)[n - suffix - 1] == '.' &&
        strcmp(*node + n - suffix, own_cluster) == 0)
        (*node)[n - suffix - 1] = '\0';
}
