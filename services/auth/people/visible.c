/* visible: authz's word on each node. */
#include "people/visible.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    const char *wanted;
    Pb__Node **nodes;
    size_t count;
};

static rl_code list(struct rl_db *db, void *context, struct rl_error *err)
{
    struct listing *l = context;
    rl_visible_free(&l->nodes, l->count);
    l->count = 0;
    return rl_nodes_list(db, l->wanted, &l->nodes, &l->count, err);
}

void rl_visible_free(Pb__Node ***nodes, size_t count)
{
    for (size_t i = 0; *nodes && i < count; i++)
        pb__node__free_unpacked((*nodes)[i], NULL);
    free(*nodes);
    *nodes = NULL;
}

static struct rl_authz_target target_of(const Pb__Node *node)
{
    return (struct rl_authz_target){
        .id = node->metadata->name,
        .name = node->spec->name,
        .label_count = node->metadata->n_labels,
        .labels = node->metadata->labels,
    };
}

bool rl_labels_have(Pb__Label *const *labels, size_t count, const char *key, const char *value)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(labels[i]->key, key) == 0)
            return strcmp(labels[i]->value, value) == 0;
    return false;
}

/* One that is not there is looked at too, so that it takes as long. */
static void look_at_nothing(const struct rl_caller *caller)
{
    struct rl_authz_target nothing = {.id = "", .name = ""};
    (void)rl_authz_sees_node(&caller->subject, &nothing);
}

rl_code rl_visible_nodes(struct rl_auth *auth, const struct rl_caller *caller, const char *wanted,
                         Pb__Node ***out, size_t *count, struct rl_error *err)
{
    struct listing l = {.wanted = wanted};
    rl_code rc = rl_store_transaction(auth->store, list, &l, err);
    if (rc != RL_OK)
        return rc;
    if (l.count == 0)
        look_at_nothing(caller);
    size_t kept = 0;
    for (size_t i = 0; i < l.count; i++) {
        struct rl_authz_target target = target_of(l.nodes[i]);
        if (rl_authz_sees_node(&caller->subject, &target))
            l.nodes[kept++] = l.nodes[i];
        else
            pb__node__free_unpacked(l.nodes[i], NULL);
    }
    *out = l.nodes;
    *count = kept;
    return RL_OK;
}
