#include "clusters/clusters.h"

#include "clusters/leaf.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

static bool is_seen(const struct rl_caller *caller, const Pb__RemoteCluster *leaf)
{
    const struct rl_authz_target target = {
        .id = leaf->metadata->name,
        .name = leaf->metadata->name,
        .label_count = leaf->metadata->n_labels,
        .labels = leaf->metadata->labels,
    };
    return rl_authz_sees_cluster(&caller->subject, &target);
}

struct listing {
    struct rl_leaf_row **rows;
    size_t count;
};

static rl_code list(struct rl_db *db, void *context, struct rl_error *err)
{
    struct listing *l = context;
    rl_leaf_rows_free(&l->rows, l->count);
    l->count = 0;
    return rl_leaves_list(db, &l->rows, &l->count, err);
}

/* Takes the trust from the row. */
static Pb__ClusterInfo *info_of(struct rl_leaf_row *row)
{
    Pb__ClusterInfo *info = rl_message_create(&pb__cluster_info__descriptor);
    rl_message_text(&info->name, row->document->metadata->name);
    rl_message_text(&info->type, "leaf");
    rl_message_text(&info->status, row->document->spec->status);
    info->last_seen_ns = row->document->spec->last_seen_ns;
    info->trust = row->trust;
    row->trust = NULL;
    return info;
}

rl_code rl_clusters_list(struct rl_auth *auth, const struct rl_caller *caller,
                         Pb__ListClustersResponse *reply, struct rl_error *err)
{
    struct listing l = {NULL, 0};
    rl_code rc = rl_store_transaction(auth->store, list, &l, err);
    for (size_t i = 0; rc == RL_OK && i < l.count; i++)
        if (is_seen(caller, l.rows[i]->document))
            rl_message_append(&reply->clusters, &reply->n_clusters, info_of(l.rows[i]));
    rl_leaf_rows_free(&l.rows, l.count);
    return rc;
}

struct finding {
    const char *name;
    struct rl_leaf_row *row;
    Pb__ResolveTargetResponse *reply;
};

static rl_code find(struct rl_db *db, void *context, struct rl_error *err)
{
    struct finding *f = context;
    rl_leaf_row_free(&f->row);
    while (f->reply->n_broker_ids)
        free(f->reply->broker_ids[--f->reply->n_broker_ids]);
    rl_code rc = rl_leaves_find(db, f->name, false, &f->row, err);
    if (rc == RL_OK)
        rc = rl_leaf_attachments_holders(db, f->name, &f->reply->broker_ids,
                                         &f->reply->n_broker_ids, err);
    return rc;
}

static rl_code no_such(const char *name, struct rl_error *err)
{
    char *shown = rl_name_printable(name);
    rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%.253s\"", shown);
    free(shown);
    return RL_E_NOT_FOUND;
}

/* One that is not there is looked at too, so that it takes as long. */
static void look_at_nothing(const struct rl_caller *caller)
{
    struct rl_authz_target nothing = {.id = "", .name = ""};
    (void)rl_authz_sees_cluster(&caller->subject, &nothing);
}

rl_code rl_clusters_resolve(struct rl_auth *auth, const struct rl_caller *caller, const char *name,
                            Pb__ResolveTargetResponse *reply, struct rl_error *err)
{
    struct finding f = {name, NULL, reply};
    if (rl_name_check_cluster(name, NULL) != RL_OK)
        return no_such(name, err);
    rl_code rc = rl_store_transaction(auth->store, find, &f, err);
    if (rc == RL_E_NOT_FOUND)
        look_at_nothing(caller);
    if (rc == RL_E_NOT_FOUND || (rc == RL_OK && !is_seen(caller, f.row->document)))
        rc = no_such(name, err);
    if (rc == RL_OK) {
        char *id = rl_sprintf(RL_LEAF_PREFIX "%s", name);
        rl_message_text(&reply->agent_id, id);
        rl_message_text(&reply->name, name);
        rl_message_text(&reply->mode, "tunnel");
        reply->is_online = strcmp(f.row->document->spec->status, "online") == 0;
        reply->last_seen_ns = f.row->document->spec->last_seen_ns;
        free(id);
    }
    rl_leaf_row_free(&f.row);
    return rc;
}
