#include "clock/clock.h"
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

/* ---- for people ---- */

enum cell { NAME, ID, HOSTNAME, CLUSTER, MODE, STATUS, LAST_SEEN, LABELS, LOGINS, VERSION };
static const char *const titles[] = {
    "NODE",   "ID",        "HOSTNAME", "CLUSTER", "MODE",
    "STATUS", "LAST SEEN", "LABELS",   "LOGINS",  "VERSION",
};
static const enum cell brief[] = {NAME, MODE, STATUS, LABELS, LOGINS};
static const enum cell verbose[] = {NAME,   ID,        HOSTNAME, CLUSTER, MODE,
                                    STATUS, LAST_SEEN, LABELS,   LOGINS,  VERSION};

static void put_time(struct rl_table *table, int64_t time_ns)
{
    char text[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(time_ns, text);
    rl_table_put(table, text);
}

/* An offline node says since when. */
static void put_status(struct rl_table *table, const struct tsh_node *node)
{
    bool has_since = node->last_seen_ns && strcmp(node->status, "offline") == 0;
    rl_table_put(table, node->status);
    if (!has_since)
        return;
    rl_table_put(table, " since ");
    put_time(table, node->last_seen_ns);
}

static void put_labels(struct rl_table *table, const struct tsh_node *node)
{
    for (size_t i = 0; i < node->label_count; i++) {
        rl_table_put(table, i ? "," : "");
        rl_table_put(table, node->labels[i]->key);
        rl_table_put(table, "=");
        rl_table_put(table, node->labels[i]->value);
    }
}

static void put_logins(struct rl_table *table, const struct tsh_node *node)
{
    for (size_t i = 0; i < node->login_count; i++) {
        rl_table_put(table, i ? "," : "");
        rl_table_put(table, node->logins[i]);
    }
}

/* A node without a name is called by its id. */
static void put_cell(struct rl_table *table, const struct tsh_node *node, const char *cluster,
                     enum cell cell)
{
    switch (cell) {
    case NAME:
        rl_table_put(table, *node->name ? node->name : node->id);
        break;
    case ID:
        rl_table_put(table, node->id);
        break;
    case HOSTNAME:
        rl_table_put(table, node->hostname);
        break;
    case CLUSTER:
        rl_table_put(table, cluster);
        break;
    case MODE:
        rl_table_put(table, node->mode);
        break;
    case STATUS:
        put_status(table, node);
        break;
    case LAST_SEEN:
        if (node->last_seen_ns)
            put_time(table, node->last_seen_ns);
        break;
    case LABELS:
        put_labels(table, node);
        break;
    case LOGINS:
        put_logins(table, node);
        break;
    case VERSION:
        rl_table_put(table, node->version);
        break;
    }
    rl_table_next(table);
}

static rl_code print_table(const struct tsh_nodes *nodes, const enum cell *cells, size_t count,
                           const char *cluster, struct rl_error *err)
{
    const char *shown[RL_COUNT(titles)];
    for (size_t i = 0; i < count; i++)
        shown[i] = titles[cells[i]];
    struct rl_table *table = rl_table_create(shown, count, nodes->count);
    for (size_t i = 0; i < nodes->count; i++)
        for (size_t k = 0; k < count; k++)
            put_cell(table, &nodes->items[i], cluster, cells[k]);
    rl_code rc = rl_table_print(stdout, table, "No nodes.", err);
    rl_table_free(&table);
    return rc;
}

static rl_code print(const struct tsh_nodes *nodes, const struct ls_settings *s,
                     enum rl_format format, const char *cluster, struct rl_error *err)
{
    if (format == RL_FORMAT_TEXT && s->verbose)
        return print_table(nodes, verbose, RL_COUNT(verbose), cluster, err);
    if (format == RL_FORMAT_TEXT)
        return print_table(nodes, brief, RL_COUNT(brief), cluster, err);
    json_t *array = tsh_inventory_json(nodes, cluster);
    rl_code rc = rl_output_value(stdout, format, array, err);
    json_decref(array);
    return rc;
}

static rl_code list(const struct ls_settings *s, const struct rl_positionals *rest,
                    enum rl_format format, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    struct tsh_nodes nodes = {0};
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
        rc = print(&nodes, s, format, cluster, err);
    tsh_nodes_fini(&nodes);
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
