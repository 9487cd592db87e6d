#include "inventory.h"
#include "leaves.h"
#include "resource/resource.h"
#include "tsh.h"

#include <stdlib.h>
#include <string.h>

struct ls_settings {
    char *cluster, *search, *format, *proxy;
    bool verbose;
};

#define AT(field) offsetof(struct ls_settings, field)
static const struct rl_setting rows[] = {
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = AT(cluster),
     .environment = "TSH_CLUSTER",
     .help = "the cluster; the selected one unless said"},
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .help = "the profile of this proxy; the last one unless said"},
    {.name = "search",
     .type = RL_SETTING_TEXT,
     .offset = AT(search),
     .help = "only nodes with this text in name, host name or labels"},
    {.name = "verbose",
     .letter = 'v',
     .type = RL_SETTING_SWITCH,
     .offset = AT(verbose),
     .fallback = "no",
     .help = "ids, host names, versions and when each was last seen"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

const struct rl_settings_spec tsh_ls_spec = {
    .program = "tsh ls",
    .summary = "the nodes that you may see",
    .usage = "[flags] [LABEL=VALUE ...]",
    .example = "tsh ls env=dev --format=json",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 64,
};

static const struct rl_column brief[] = {
    {"NODE", "name"},     {"MODE", "mode"},     {"STATUS", "status"},
    {"LABELS", "labels"}, {"LOGINS", "logins"},
};
static const struct rl_column verbose[] = {
    {"NODE", "name"},           {"ID", "id"},         {"HOSTNAME", "hostname"},
    {"CLUSTER", "cluster"},     {"MODE", "mode"},     {"STATUS", "status"},
    {"LAST SEEN", "last_seen"}, {"LABELS", "labels"}, {"LOGINS", "logins"},
    {"VERSION", "version"},
};

/* For people: an offline node says since when, a node without a name its id. */
static void make_readable(json_t *array)
{
    size_t i;
    json_t *node;
    json_array_foreach(array, i, node)
    {
        if (json_is_null(json_object_get(node, "name")))
            json_object_set(node, "name", json_object_get(node, "id"));
        const char *seen = json_string_value(json_object_get(node, "last_seen"));
        if (seen && strcmp(json_string_value(json_object_get(node, "status")), "offline") == 0) {
            char *since = rl_sprintf("offline since %s", seen);
            json_object_set_new(node, "status", json_string(since));
            free(since);
        }
    }
}

static rl_code print(const Pb__ListNodesResponse *nodes, const struct ls_settings *s,
                     enum rl_format format, const char *cluster, struct rl_error *err)
{
    json_t *array = tsh_inventory_json(nodes, cluster);
    if (format == RL_FORMAT_TEXT)
        make_readable(array);
    rl_code rc =
        s->verbose
            ? rl_output_table(stdout, format, array, verbose, RL_COUNT(verbose), "No nodes.", err)
            : rl_output_table(stdout, format, array, brief, RL_COUNT(brief), "No nodes.", err);
    json_decref(array);
    return rc;
}

static rl_code list(const struct ls_settings *s, const struct rl_positionals *rest,
                    enum rl_format format, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    Pb__ListNodesResponse *nodes = NULL;
    Pb__Label **labels = NULL;
    char *cluster = NULL;
    size_t count = 0;
    rl_code rc = rl_labels_parse_list(rest->items, rest->count, &labels, &count, err);
    if (rc == RL_OK && (rc = tsh_profile_open(s->proxy, &profile, err)) == RL_OK)
        rc = tsh_cluster_choose(&profile, s->cluster, &cluster, err);
    /* Only a whole list says which hosts are nodes. */
    if (rc == RL_OK && !s->search && !count && tsh_cluster_is_own(&profile, cluster))
        rc = tsh_inventory_refresh(&profile, &nodes, err);
    else if (rc == RL_OK)
        rc = tsh_inventory_list(&profile, cluster, s->search, labels, count, &nodes, err);
    if (rc == RL_OK)
        rc = print(nodes, s, format, cluster, err);
    if (nodes)
        pb__list_nodes_response__free_unpacked(nodes, NULL);
    rl_labels_free(&labels, count);
    free(cluster);
    tsh_profile_fini(&profile);
    return rc;
}

int tsh_ls(int argc, char **argv)
{
    struct ls_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    enum rl_format format;
    rl_code rc = rl_settings_read(&tsh_ls_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK)
        rc = rl_format_parse(s.format, &format, &err);
    if (rc != RL_OK) {
        rl_settings_free(&tsh_ls_spec, &s);
        return tsh_usage(rc, &err);
    }
    rc = list(&s, &rest, format, &err);
    rl_settings_free(&tsh_ls_spec, &s);
    return rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
}
