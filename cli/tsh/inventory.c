#include "inventory.h"

#include "client.h"
#include "clock/clock.h"
#include "sshconfig.h"

#include <stdlib.h>
#include <string.h>

rl_code tsh_inventory_list(const struct tsh_profile *profile, const char *search,
                           Pb__Label *const *labels, size_t label_count,
                           Pb__ListNodesResponse **out, struct rl_error *err)
{
    struct tsh_client client = {0};
    ProtobufCMessage *reply = NULL;
    Pb__Label **asked = rl_alloc_array(label_count, sizeof *asked);
    char *text = rl_strdup(search ? search : "");
    for (size_t i = 0; i < label_count; i++)
        asked[i] = labels[i];
    Pb__ListNodesRequest request = PB__LIST_NODES_REQUEST__INIT;
    request.search = text;
    request.n_labels = label_count;
    request.labels = asked;
    rl_code rc = tsh_client_open(profile, "auth", &client, err);
    if (rc == RL_OK)
        rc = tsh_client_call(&client, &pb__session__descriptor, "ListNodes", &request.base, &reply,
                             err);
    if (rc == RL_OK)
        *out = (Pb__ListNodesResponse *)reply;
    tsh_client_close(&client);
    free(asked);
    free(text);
    return rc;
}

rl_code tsh_inventory_refresh(const struct tsh_profile *profile, struct rl_error *err)
{
    Pb__ListNodesResponse *nodes = NULL;
    rl_code rc = tsh_inventory_list(profile, NULL, NULL, 0, &nodes, err);
    if (rc == RL_OK && (rc = tsh_sshconfig_keep_nodes(profile, nodes, err)) == RL_OK)
        rc = tsh_sshconfig_write(profile->home, err);
    if (nodes)
        pb__list_nodes_response__free_unpacked(nodes, NULL);
    return rc;
}

static json_t *time_or_null(int64_t time_ns)
{
    char text[RL_CLOCK_TEXT_BYTES];
    if (!time_ns)
        return json_null();
    rl_clock_format(time_ns, text);
    return json_string(text);
}

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *node_json(const Pb__VisibleNode *visible, const char *cluster)
{
    const Pb__Metadata *metadata = visible->node->metadata;
    const Pb__NodeSpec *spec = visible->node->spec;
    json_t *labels = json_object(), *logins = json_array();
    for (size_t i = 0; i < metadata->n_labels; i++)
        json_object_set_new(labels, metadata->labels[i]->key,
                            json_string(metadata->labels[i]->value));
    for (size_t i = 0; i < visible->n_logins; i++)
        json_array_append_new(logins, json_string(visible->logins[i]));
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "id", metadata->name,
                     "name", text_or_null(spec->name), "hostname", spec->hostname, "cluster",
                     cluster, "mode", spec->mode, "status", spec->status, "last_seen",
                     time_or_null(spec->last_seen_ns), "labels", labels, "logins", logins,
                     "version", spec->version);
}

json_t *tsh_inventory_json(const Pb__ListNodesResponse *nodes, const char *cluster)
{
    json_t *array = json_array();
    for (size_t i = 0; i < nodes->n_nodes; i++)
        if (nodes->nodes[i]->node && nodes->nodes[i]->node->metadata && nodes->nodes[i]->node->spec)
            json_array_append_new(array, node_json(nodes->nodes[i], cluster));
    return array;
}

/* LABEL=VALUE matches a label; NODE and NODE.CLUSTER were cut to NODE before; else name or id. */
static bool matches(const Pb__VisibleNode *visible, const char *target)
{
    const Pb__Metadata *metadata = visible->node->metadata;
    const char *equals = strchr(target, '=');
    if (!equals)
        return strcmp(visible->node->spec->name, target) == 0 ||
               strcmp(metadata->name, target) == 0;
    size_t key = (size_t)(equals - target);
    for (size_t i = 0; i < metadata->n_labels; i++)
        if (strlen(metadata->labels[i]->key) == key &&
            memcmp(metadata->labels[i]->key, target, key) == 0 &&
            strcmp(metadata->labels[i]->value, equals + 1) == 0)
            return true;
    return false;
}

rl_code tsh_inventory_pick(const Pb__ListNodesResponse *nodes, const char *target,
                           const Pb__VisibleNode **out, struct rl_error *err)
{
    const Pb__VisibleNode *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < nodes->n_nodes; i++)
        if (nodes->nodes[i]->node && nodes->nodes[i]->node->metadata &&
            nodes->nodes[i]->node->spec && matches(nodes->nodes[i], target)) {
            found = nodes->nodes[i];
            count++;
        }
    if (count == 0)
        return rl_fail(err, RL_E_DENIED, "no such node \"%s\"", target);
    if (count > 1)
        return rl_fail(err, RL_E_INVAL,
                       "%zu nodes match \"%s\"; name one of them by its id (tsh ls %s)", count,
                       target, target);
    *out = found;
    return RL_OK;
}
