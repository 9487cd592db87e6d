#include "inventory.h"

#include "client.h"
#include "clusters.h"
#include "leaves.h"
#include "names/names.h"
#include "output/value.h"
#include "resource/resource.h"
#include "sshconfig.h"

#include <stdlib.h>
#include <string.h>

static rl_code ask_for_nodes(struct tsh_client *client, Pb__ListNodesRequest *request,
                             Pb__ListNodesResponse **out, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    rl_code rc =
        tsh_client_call(client, &pb__session__descriptor, "ListNodes", &request->base, &reply, err);
    if (rc == RL_OK)
        *out = (Pb__ListNodesResponse *)reply;
    return rc;
}

rl_code tsh_inventory_list(const struct tsh_profile *profile, const char *cluster,
                           const char *search, Pb__Label *const *labels, size_t label_count,
                           Pb__ListNodesResponse **out, struct rl_error *err)
{
    struct tsh_client client = {0};
    Pb__Label **asked = rl_alloc_array(label_count, sizeof *asked);
    char *text = rl_strdup(search ? search : "");
    for (size_t i = 0; i < label_count; i++)
        asked[i] = labels[i];
    Pb__ListNodesRequest request = PB__LIST_NODES_REQUEST__INIT;
    request.search = text;
    request.n_labels = label_count;
    request.labels = asked;
    rl_code rc = tsh_client_open(profile, cluster, "auth", &client, err);
    if (rc == RL_OK)
        rc = ask_for_nodes(&client, &request, out, err);
    tsh_client_close(&client);
    free(asked);
    free(text);
    return rc;
}

rl_code tsh_inventory_refresh(const struct tsh_profile *profile, Pb__ListNodesResponse **out,
                              struct rl_error *err)
{
    struct tsh_client client = {0};
    Pb__ListNodesRequest request = PB__LIST_NODES_REQUEST__INIT;
    Pb__ListNodesResponse *nodes = NULL;
    bool changed = false;
    rl_code rc = tsh_client_open(profile, NULL, "auth", &client, err);
    if (rc == RL_OK && (rc = ask_for_nodes(&client, &request, &nodes, err)) == RL_OK &&
        (rc = tsh_clusters_ask(&client, profile, &changed, NULL, err)) == RL_OK &&
        (rc = tsh_sshconfig_keep_nodes(profile, nodes, err)) == RL_OK)
        rc = tsh_sshconfig_write(profile->home, err);
    tsh_client_close(&client);
    if (rc == RL_OK && out)
        *out = nodes;
    else if (nodes)
        pb__list_nodes_response__free_unpacked(nodes, NULL);
    return rc;
}

rl_code tsh_trust_refresh(const struct tsh_profile *profile, struct rl_error *err)
{
    struct tsh_client client = {0};
    ProtobufCMessage *reply = NULL;
    Pb__AuthoritiesRequest request = PB__AUTHORITIES_REQUEST__INIT;
    rl_code rc = tsh_client_open(profile, NULL, "auth", &client, err);
    if (rc == RL_OK)
        rc = tsh_client_call(&client, &pb__session__descriptor, "Authorities", &request.base,
                             &reply, err);
    if (rc == RL_OK)
        rc = tsh_profile_save_trust(profile, (const Pb__TrustBundle *)reply, err);
    if (rc == RL_OK)
        rc = tsh_sshconfig_write(profile->home, err);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
    tsh_client_close(&client);
    return rc;
}

static json_t *node_json(const Pb__VisibleNode *visible, const char *cluster)
{
    const Pb__Metadata *metadata = visible->node->metadata;
    const Pb__NodeSpec *spec = visible->node->spec;
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", rl_json_text(metadata->name),
        "name", rl_json_text_or_null(spec->name), "hostname", rl_json_text(spec->hostname),
        "cluster", rl_json_text(cluster), "mode", rl_json_text(spec->mode), "status",
        rl_json_text(spec->status), "last_seen", rl_json_time_or_null(spec->last_seen_ns), "labels",
        rl_labels_to_json(metadata->labels, metadata->n_labels), "logins",
        rl_json_texts(visible->logins, visible->n_logins), "version", rl_json_text(spec->version));
}

static bool is_whole(const Pb__VisibleNode *visible)
{
    return visible->node && visible->node->metadata && visible->node->spec;
}

json_t *tsh_inventory_json(const Pb__ListNodesResponse *nodes, const char *cluster)
{
    json_t *array = json_array();
    for (size_t i = 0; i < nodes->n_nodes; i++)
        if (is_whole(nodes->nodes[i]))
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
        if (is_whole(nodes->nodes[i]) && matches(nodes->nodes[i], target)) {
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

rl_code tsh_inventory_host(const Pb__VisibleNode *node, const char *cluster, char **out,
                           struct rl_error *err)
{
    const char *name = node->node->spec->name, *id = node->node->metadata->name;
    if (rl_name_check_node(name, NULL) == RL_OK)
        *out = rl_sprintf("%s.%s", name, cluster);
    else if (rl_name_is_uuid(id))
        *out = rl_sprintf("%s.%s", id, cluster);
    else
        return rl_fail(err, RL_E_INTERNAL,
                       "auth named a node that ssh can not be told of: \"%.80s\"", name);
    return RL_OK;
}
