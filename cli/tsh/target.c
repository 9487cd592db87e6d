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

/* Cuts ".CLUSTER" off: a node's name has no dot. */
static rl_code cut_cluster(char *node, const char **cluster, struct rl_error *err)
{
    char *dot = strchr(node, '.');
    if (!dot)
        return RL_OK;
    if (rl_name_check_cluster(dot + 1, NULL) != RL_OK)
        return rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%.253s\"", dot + 1);
    *dot = '\0';
    *cluster = dot + 1;
    return RL_OK;
}

rl_code tsh_target_parse(const char *text, const char *cluster, struct tsh_target *out,
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
        rc = cut_cluster(node, &cluster, err);
    if (rc == RL_OK && rl_name_check_node(node, NULL) != RL_OK && !rl_name_is_uuid(node))
        rc = rl_fail(err, RL_E_INVAL, "\"%.64s\" is not the name or id of a node", node);
    if (rc == RL_OK)
        *out = (struct tsh_target){
            .cluster = rl_strdup(cluster), .name = rl_strdup(node), .port = port};
    free(node);
    return rc;
}

void tsh_target_fini(struct tsh_target *target)
{
    free(target->cluster);
    free(target->name);
    *target = (struct tsh_target){0};
}

static void replace(char **text, char *with)
{
    free(*text);
    *text = with;
}

void tsh_target_split(const char *text, char **login, char **cluster, char **node)
{
    const char *at = strrchr(text, '@');
    if (at && at != text)
        replace(login, rl_sprintf("%.*s", (int)(at - text), text));
    *node = rl_strdup(at ? at + 1 : text);
    char *dot = strchr(*node, '=') ? NULL : strchr(*node, '.');
    if (dot && dot != *node && rl_name_check_cluster(dot + 1, NULL) == RL_OK) {
        *dot = '\0';
        replace(cluster, rl_strdup(dot + 1));
    }
}
