/* status: the cluster as a whole; nodes and inventory: who is there. */
#include "tctl.h"

#include <stdio.h>
#include <string.h>

struct show_settings {
    char *format;
};
static const struct rl_setting rows[] = {
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct show_settings, format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

/* ---- status ---- */

static json_t *status_json(const Pb__StatusResponse *status)
{
    json_t *services = json_array();
    for (size_t i = 0; i < status->n_services; i++) {
        const Pb__ServiceInfo *s = status->services[i];
        json_array_append_new(services, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                                                  rl_json_text(s->kind), "id", rl_json_text(s->id),
                                                  "addr", rl_json_text_or_null(s->address),
                                                  "status", rl_json_text(s->status), "version",
                                                  rl_json_text(s->version), "last_seen",
                                                  rl_json_time_or_null(s->last_seen_ns)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "cluster",
                     rl_json_text(status->cluster), "version", rl_json_text(status->version),
                     "ca_pin", rl_json_text(status->ca_pin), "services", services, "agents_online",
                     (json_int_t)status->agents_online, "agents_total",
                     (json_int_t)status->agents_total, "rotations",
                     tctl_rotations_json(status->rotations, status->n_rotations));
}

static const struct rl_column status_columns[] = {
    {"Cluster", "cluster"},     {"Version", "version"},
    {"CA pin", "ca_pin"},       {"Agents online", "agents_online"},
    {"Agents", "agents_total"},
};
static const struct rl_column service_columns[] = {
    {"SERVICE", "kind"},  {"ID", "id"},           {"ADDRESS", "addr"},
    {"STATUS", "status"}, {"VERSION", "version"},
};

static const struct rl_column rotation_columns[] = {
    {"ROTATING", "type"}, {"PHASE", "phase"}, {"MODE", "mode"}, {"NEXT", "next"}};

/* Under the object: its lists, as far as there is something in them. */
static rl_code show_lists(json_t *status, struct rl_error *err)
{
    json_t *rotations = json_object_get(status, "rotations");
    fputc('\n', stdout);
    rl_code rc = rl_output_table(stdout, RL_FORMAT_TEXT, json_object_get(status, "services"),
                                 service_columns, RL_COUNT(service_columns), "No services.", err);
    if (rc != RL_OK || json_array_size(rotations) == 0)
        return rc;
    fputc('\n', stdout);
    return rl_output_table(stdout, RL_FORMAT_TEXT, rotations, rotation_columns,
                           RL_COUNT(rotation_columns), "", err);
}

static rl_code check_format(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct show_settings *)settings)->format, &format, err);
}

static rl_code show_status(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct show_settings *s = settings;
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    Pb__StatusRequest request = PB__STATUS_REQUEST__INIT;
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "Status", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    json_t *status = status_json((const Pb__StatusResponse *)reply);
    rc = rl_output_object(stdout, format, status, status_columns, RL_COUNT(status_columns), err);
    if (rc == RL_OK && format == RL_FORMAT_TEXT)
        rc = show_lists(status, err);
    json_decref(status);
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static const struct rl_settings_spec status_spec = {
    .program = "tctl status",
    .summary = "the cluster: its services, its agents, its pin",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl status",
    .rows = rows,
    .count = RL_COUNT(rows),
};

const struct tctl_command tctl_status = {.spec = &status_spec,
                                         .bytes = sizeof(struct show_settings),
                                         .check = check_format,
                                         .work = show_status};

/* ---- nodes ls ---- */

static const struct rl_column node_columns[] = {
    {"NODE", "name"},           {"ID", "id"},           {"MODE", "mode"}, {"STATUS", "status"},
    {"LAST SEEN", "last_seen"}, {"VERSION", "version"},
};

static json_t *node_json(const Pb__Resource *resource, const char *cluster)
{
    const Pb__Node *node = resource->kind_case == PB__RESOURCE__KIND_NODE ? resource->node : NULL;
    if (!node || !node->metadata || !node->spec)
        return NULL;
    const Pb__NodeSpec *spec = node->spec;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:[], s:o}", "id",
                     rl_json_text(node->metadata->name), "name", rl_json_text_or_null(spec->name),
                     "hostname", rl_json_text(spec->hostname), "cluster", rl_json_text(cluster),
                     "mode", rl_json_text(spec->mode), "status", rl_json_text(spec->status),
                     "last_seen", rl_json_time_or_null(spec->last_seen_ns), "labels",
                     rl_labels_to_json(node->metadata->labels, node->metadata->n_labels), "logins",
                     "version", rl_json_text(spec->version));
}

static rl_code list_nodes(struct tctl_client *client, const void *settings,
                          const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    static const struct tctl_listing nodes = {"node", node_json, node_columns,
                                              RL_COUNT(node_columns), "No nodes."};
    return tctl_list(client, &nodes, ((const struct show_settings *)settings)->format, err);
}

static const struct rl_settings_spec nodes_spec = {
    .program = "tctl nodes ls",
    .summary = "every node",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl nodes ls",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static const struct tctl_command nodes_ls = {.spec = &nodes_spec,
                                             .bytes = sizeof(struct show_settings),
                                             .check = check_format,
                                             .work = list_nodes};
static const struct tctl_subcommand nodes_commands[] = {{"ls", &nodes_ls, "every node"}};
const struct tctl_group tctl_nodes = {"nodes", nodes_commands, RL_COUNT(nodes_commands)};

/* ---- inventory ls ---- */

static const struct rl_column inventory_columns[] = {
    {"NAME", "name"},           {"ID", "id"},          {"KIND", "kind"},     {"STATUS", "status"},
    {"LAST SEEN", "last_seen"}, {"PEER", "peer_addr"}, {"BROKER", "broker"}, {"VERSION", "version"},
};

static rl_code list_inventory(struct tctl_client *client, const void *settings,
                              const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct show_settings *s = settings;
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    Pb__ListInventoryRequest request = PB__LIST_INVENTORY_REQUEST__INIT;
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "ListInventory", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__ListInventoryResponse *list = (const Pb__ListInventoryResponse *)reply;
    json_t *array = json_array();
    for (size_t i = 0; i < list->n_items; i++) {
        const Pb__InventoryItem *item = list->items[i];
        json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", rl_json_text(item->id),
                      "name", rl_json_text_or_null(item->name), "kind", rl_json_text(item->kind),
                      "version", rl_json_text(item->version), "status", rl_json_text(item->status),
                      "last_seen", rl_json_time_or_null(item->last_seen_ns), "peer_addr",
                      rl_json_text_or_null(item->peer_address), "broker",
                      rl_json_text_or_null(item->broker)));
    }
    rc = rl_output_table(stdout, format, array, inventory_columns, RL_COUNT(inventory_columns),
                         "Nothing has joined yet.", err);
    json_decref(array);
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static const struct rl_settings_spec inventory_spec = {
    .program = "tctl inventory ls",
    .summary = "every agent and service",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl inventory ls",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static const struct tctl_command inventory_ls = {.spec = &inventory_spec,
                                                 .bytes = sizeof(struct show_settings),
                                                 .check = check_format,
                                                 .work = list_inventory};
static const struct tctl_subcommand inventory_commands[] = {
    {"ls", &inventory_ls, "every agent and service"}};
const struct tctl_group tctl_inventory = {"inventory", inventory_commands,
                                          RL_COUNT(inventory_commands)};
