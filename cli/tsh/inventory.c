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

#define PAGES_MAX 1024 /* of a list */

/* Page by page: from behind the last place that auth named. */
static rl_code ask_for_nodes(struct tsh_client *client, Pb__ListNodesRequest *request,
                             struct tsh_nodes *out, struct rl_error *err)
{
    rl_code rc = RL_OK;
    struct tsh_nodes nodes = {0};
    request->in_rows = true;
    do {
        ProtobufCMessage *reply = NULL;
        rc = tsh_client_call(client, &pb__session__descriptor, "ListNodes", &request->base, &reply,
                             err);
        if (rc != RL_OK)
            break;
        Pb__ListNodesResponse *answer = (Pb__ListNodesResponse *)reply;
        rc = tsh_nodes_add(&nodes, answer, err);
        request->after = answer->next;
        if (rc == RL_OK && request->after &&
            (answer->n_rows == 0 || nodes.answer_count == PAGES_MAX))
            rc = rl_fail(err, RL_E_INTERNAL, "auth's list of nodes does not end");
    } while (rc == RL_OK && request->after);
    request->after = NULL;
    if (rc == RL_OK)
        *out = nodes;
    else
        tsh_nodes_fini(&nodes);
    return rc;
}

rl_code tsh_inventory_list(const struct tsh_profile *profile, const char *cluster,
                           const char *search, Pb__Label *const *labels, size_t label_count,
                           struct tsh_nodes *out, struct rl_error *err)
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

rl_code tsh_inventory_refresh(const struct tsh_profile *profile, struct tsh_nodes *out,
                              struct rl_error *err)
{
    struct tsh_client client = {0};
    Pb__ListNodesRequest request = PB__LIST_NODES_REQUEST__INIT;
    struct tsh_nodes nodes = {0};
    bool changed = false;
    rl_code rc = tsh_client_open(profile, NULL, "auth", &client, err);
    if (rc == RL_OK && (rc = ask_for_nodes(&client, &request, &nodes, err)) == RL_OK &&
        (rc = tsh_clusters_ask(&client, profile, &changed, NULL, err)) == RL_OK &&
        (rc = tsh_sshconfig_keep_nodes(profile, &nodes, err)) == RL_OK)
        rc = tsh_sshconfig_write(profile->home, err);
    tsh_client_close(&client);
    if (rc == RL_OK && out)
        *out = nodes;
    else
        tsh_nodes_fini(&nodes);
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

static json_t *node_json(const struct tsh_node *node, const char *cluster)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", rl_json_text(node->id), "name",
        rl_json_text_or_null(node->name), "hostname", rl_json_text(node->hostname), "cluster",
        rl_json_text(cluster), "mode", rl_json_text(node->mode), "status",
        rl_json_text(node->status), "last_seen", rl_json_time_or_null(node->last_seen_ns), "labels",
        rl_labels_to_json(node->labels, node->label_count), "logins",
        rl_json_texts(node->logins, node->login_count), "version", rl_json_text(node->version));
}

json_t *tsh_inventory_json(const struct tsh_nodes *nodes, const char *cluster)
{
    json_t *array = json_array();
    for (size_t i = 0; i < nodes->count; i++)
        json_array_append_new(array, node_json(&nodes->items[i], cluster));
    return array;
}

/* LABEL=VALUE matches a label; NODE and NODE.CLUSTER were cut to NODE before; else name or id. */
static bool matches(const struct tsh_node *node, const char *target)
{
    const char *equals = strchr(target, '=');
    if (!equals)
        return strcmp(node->name, target) == 0 || strcmp(node->id, target) == 0;
    size_t key = (size_t)(equals - target);
    for (size_t i = 0; i < node->label_count; i++)
        if (strlen(node->labels[i]->key) == key && memcmp(node->labels[i]->key, target, key) == 0 &&
            strcmp(node->labels[i]->value, equals + 1) == 0)
            return true;
    return false;
}

rl_code tsh_inventory_pick(const struct tsh_nodes *nodes, const char *target,
                           const struct tsh_node **out, struct rl_error *err)
{
    const struct tsh_node *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < nodes->count; i++)
        if (matches(&nodes->items[i], target)) {
            found = &nodes->items[i];
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

rl_code tsh_inventory_host(const struct tsh_node *node, const char *cluster, char **out,
                           struct rl_error *err)
{
    const char *name = node->name, *id = node->id;
    if (rl_name_check_node(name, NULL) == RL_OK)
        *out = rl_sprintf("%s.%s", name, cluster);
    else if (rl_name_is_uuid(id))
        *out = rl_sprintf("%s.%s", id, cluster);
    else
        return rl_fail(err, RL_E_INTERNAL,
                       "auth named a node that ssh can not be told of: \"%.80s\"", name);
    return RL_OK;
}
