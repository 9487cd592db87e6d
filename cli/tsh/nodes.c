#include "nodes.h"

#include "status/memory.h"

#include <stdlib.h>

static void grow(void *array, size_t count, size_t size)
{
    void **at = array;
    void *grown = reallocarray(*at, count, size);
    RL_NEED_MEMORY(grown, count * size);
    *at = grown;
}

static rl_code add_row(struct tsh_nodes *nodes, const Pb__ListNodesResponse *answer,
                       const Pb__NodeRow *row, struct rl_error *err)
{
    if (row->node_class >= answer->n_classes)
        return rl_fail(err, RL_E_INTERNAL,
                       "auth's answer can not be read: a node of class %u, and there are %zu",
                       row->node_class, answer->n_classes);
    const Pb__NodeClass *c = answer->classes[row->node_class];
    nodes->items[nodes->count++] = (struct tsh_node){
        .id = row->id,
        .name = row->name,
        .hostname = row->hostname,
        .mode = c->mode,
        .version = c->version,
        .status = row->is_online ? "online" : "offline",
        .last_seen_ns = row->last_seen_ns,
        .labels = c->labels,
        .label_count = c->n_labels,
        .logins = c->logins,
        .login_count = c->n_logins,
    };
    return RL_OK;
}

static void add_visible(struct tsh_nodes *nodes, const Pb__VisibleNode *visible)
{
    if (!visible->node || !visible->node->metadata || !visible->node->spec)
        return;
    const Pb__Metadata *metadata = visible->node->metadata;
    const Pb__NodeSpec *spec = visible->node->spec;
    nodes->items[nodes->count++] = (struct tsh_node){
        .id = metadata->name,
        .name = spec->name,
        .hostname = spec->hostname,
        .mode = spec->mode,
        .version = spec->version,
        .status = spec->status,
        .last_seen_ns = spec->last_seen_ns,
        .labels = metadata->labels,
        .label_count = metadata->n_labels,
        .logins = visible->logins,
        .login_count = visible->n_logins,
    };
}

rl_code tsh_nodes_add(struct tsh_nodes *nodes, Pb__ListNodesResponse *answer, struct rl_error *err)
{
    rl_code rc = RL_OK;
    size_t most = nodes->count + answer->n_rows + answer->n_nodes;
    grow(&nodes->answers, nodes->answer_count + 1, sizeof(Pb__ListNodesResponse *));
    nodes->answers[nodes->answer_count++] = answer;
    grow(&nodes->items, most + 1, sizeof *nodes->items);
    for (size_t i = 0; rc == RL_OK && i < answer->n_rows; i++)
        rc = add_row(nodes, answer, answer->rows[i], err);
    for (size_t i = 0; i < answer->n_nodes; i++)
        add_visible(nodes, answer->nodes[i]);
    return rc;
}

void tsh_nodes_fini(struct tsh_nodes *nodes)
{
    for (size_t i = 0; i < nodes->answer_count; i++)
        pb__list_nodes_response__free_unpacked(nodes->answers[i], NULL);
    free(nodes->answers);
    free(nodes->items);
    *nodes = (struct tsh_nodes){0};
}
