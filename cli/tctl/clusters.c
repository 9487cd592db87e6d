/* clusters: the leaves of this cluster and the roots that it trusts, in one list. */
#include "tctl.h"

#include <stdio.h>
#include <string.h>

struct clusters_settings {
    char *format;
};
static const struct rl_setting rows[] = {
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct clusters_settings, format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

static json_t *cluster_json(const Pb__Metadata *metadata, const char *type, bool is_enabled,
                            const char *status, int64_t last_seen_ns, const char *version)
{
    return json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:o}", "name", rl_json_text(metadata->name),
                     "type", type, "enabled", is_enabled, "status", rl_json_text(status),
                     "last_seen", rl_json_time_or_null(last_seen_ns), "version",
                     rl_json_text_or_null(version), "labels",
                     rl_labels_to_json(metadata->labels, metadata->n_labels));
}

json_t *tctl_leaf_json(const Pb__RemoteCluster *leaf)
{
    if (!leaf || !leaf->metadata || !leaf->spec)
        return NULL;
    return cluster_json(leaf->metadata, "leaf", true, leaf->spec->status, leaf->spec->last_seen_ns,
                        leaf->spec->version);
}

json_t *tctl_root_json(const Pb__TrustedCluster *root)
{
    if (!root || !root->metadata || !root->spec)
        return NULL;
    return cluster_json(root->metadata, "root", root->spec->enabled, root->spec->status,
                        root->spec->last_seen_ns, "");
}

static json_t *shown(const Pb__Resource *resource)
{
    switch (resource->kind_case) {
    case PB__RESOURCE__KIND_TRUSTED_CLUSTER:
        return tctl_root_json(resource->trusted_cluster);
    case PB__RESOURCE__KIND_REMOTE_CLUSTER:
        return tctl_leaf_json(resource->remote_cluster);
    default:
        return NULL;
    }
}

static rl_code append_kind(struct tctl_client *client, const char *kind, json_t *array,
                           struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    request.kind = (char *)(uintptr_t)kind;
    rl_code rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__GetResourcesResponse *found = (const Pb__GetResourcesResponse *)reply;
    for (size_t i = 0; i < found->n_resources; i++) {
        json_t *object = shown(found->resources[i]);
        if (object)
            json_array_append_new(array, object);
    }
    protobuf_c_message_free_unpacked(reply, NULL);
    return RL_OK;
}

static const struct rl_column columns[] = {
    {"CLUSTER", "name"},        {"TYPE", "type"},       {"STATUS", "status"},
    {"LAST SEEN", "last_seen"}, {"ENABLED", "enabled"}, {"VERSION", "version"},
    {"LABELS", "labels"},
};

static rl_code check_format(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct clusters_settings *)settings)->format, &format, err);
}

static rl_code list_clusters(struct tctl_client *client, const void *settings,
                             const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct clusters_settings *s = settings;
    enum rl_format format;
    json_t *array = json_array();
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = append_kind(client, "trusted_cluster", array, err);
    if (rc == RL_OK)
        rc = append_kind(client, "remote_cluster", array, err);
    if (rc == RL_OK)
        rc = rl_output_table(stdout, format, array, columns, RL_COUNT(columns),
                             "No other clusters.", err);
    json_decref(array);
    return rc;
}

static const struct rl_settings_spec ls_spec = {
    .program = "tctl clusters ls",
    .summary = "the leaves of this cluster, and the roots that it trusts",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl clusters ls",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static const struct tctl_command ls_command = {.spec = &ls_spec,
                                               .bytes = sizeof(struct clusters_settings),
                                               .check = check_format,
                                               .work = list_clusters};
static const struct tctl_subcommand clusters_commands[] = {
    {"ls", &ls_command, "leaves of this cluster, and its roots"}};
const struct tctl_group tctl_clusters = {"clusters", clusters_commands,
                                         RL_COUNT(clusters_commands)};
