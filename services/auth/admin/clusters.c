/* admin_clusters: other clusters as documents: trusted_cluster, which an administrator writes in
 * the leaf, and remote_cluster, which appears in the root when a leaf comes. */
#include "admin/kind.h"

#include "bytes/secret.h"
#include "clusters/leaf.h"
#include "clusters/root.h"
#include "db/cluster.h"
#include "db/errands.h"
#include "resource/resource.h"

#include <stdlib.h>
#include <string.h>

/* ---- roots ---- */

rl_code rl_kind_get_roots(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    struct rl_root_row **rows = NULL;
    size_t count = 0;
    rl_code rc = rl_roots_list(db, &rows, &count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++) {
        Pb__TrustedCluster *document = rows[i]->document;
        if (!rl_getting_wants(g, document->metadata->name))
            continue;
        rl_message_text(&document->spec->token, RL_RESOURCE_REDACTED);
        rl_getting_append(g, PB__RESOURCE__KIND_TRUSTED_CLUSTER, document);
        rows[i]->document = NULL;
    }
    rl_root_rows_free(&rows, count);
    return rc;
}

static rl_code check_document(const struct rl_putting *p, struct rl_error *err)
{
    const Pb__TrustedCluster *document = p->resource->trusted_cluster;
    const char *name = document->metadata->name;
    if (strcmp(name, p->auth->cluster) == 0)
        return rl_fail(err, RL_E_INVAL, "%s is this cluster's own name: no cluster trusts itself",
                       name);
    if (rl_snapshot_leaf(p->caller->snapshot, name))
        return rl_fail(err, RL_E_PRECONDITION,
                       "%s is a leaf of %s: it can not be its root as well (trust goes one way)",
                       name, p->auth->cluster);
    if (!document->spec || !*document->spec->proxy)
        return rl_fail(err, RL_E_INVAL, "spec.proxy: the root's public HOST:PORT");
    return RL_OK;
}

struct finding {
    const char *name;
    struct rl_root_row *row;
};

static rl_code find_root(struct rl_db *db, void *context, struct rl_error *err)
{
    struct finding *f = context;
    size_t count = 0;
    rl_root_row_free(&f->row);
    rl_code rc = rl_roots_find(db, f->name, false, &f->row, err);
    if (rc != RL_E_NOT_FOUND)
        return rc;
    rc = rl_roots_count(db, &count, err);
    return rc != RL_OK || count < RL_ROOTS_MAX
               ? rc
               : rl_fail(err, RL_E_EXHAUSTED, "%d clusters are trusted already", RL_ROOTS_MAX);
}

/* Trust is exchanged once: a document that comes again with the token that was used, or without
 * one, changes what is there. */
static rl_code needs_exchange(const struct rl_putting *p, const struct rl_root_row *there,
                              bool *needs_it, struct rl_error *err)
{
    const char *token = p->resource->trusted_cluster->spec->token;
    bool has_token = *token && strcmp(token, RL_RESOURCE_REDACTED) != 0;
    uint8_t hash[32];
    if (there && !p->replace)
        return rl_fail(err, RL_E_EXISTS,
                       "trusted_cluster \"%s\" is there already; `tctl create -f` replaces it",
                       p->resource->trusted_cluster->metadata->name);
    if (!there && !has_token)
        return rl_fail(err, RL_E_INVAL,
                       "spec.token: trust is established with one of the root's: `tctl tokens add "
                       "--type=trusted_cluster` there");
    rl_code rc = rl_root_token_hash(token, hash, err);
    if (rc == RL_OK)
        *needs_it = has_token && !(there && rl_span_equal(RL_SPAN(hash, sizeof hash),
                                                          rl_buf_span(&there->token_hash)));
    return rc;
}

/* A name that is taken literally and that nobody has: it may be a role to come, or a slip. */
static void warn_of_roles(const struct rl_putting *p, Pb__PutResourceResponse *reply)
{
    const Pb__TrustedClusterSpec *spec = p->resource->trusted_cluster->spec;
    for (size_t i = 0; i < spec->n_role_map; i++)
        for (size_t k = 0; k < spec->role_map[i]->n_local; k++) {
            const char *local = spec->role_map[i]->local[k];
            if (!strchr(local, '$') && !rl_snapshot_role(p->caller->snapshot, local))
                rl_message_append(&reply->warnings, &reply->n_warnings,
                                  rl_sprintf("role_map: there is no role \"%s\" here", local));
        }
}

rl_code rl_kind_check_root(struct rl_putting *p, Pb__PutResourceResponse *reply,
                           struct rl_error *err)
{
    Pb__TrustedCluster *document = p->resource->trusted_cluster;
    struct finding f = {document->metadata->name, NULL};
    bool needs_it = false;
    rl_code rc = check_document(p, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(p->auth->store, find_root, &f, err);
    if (rc == RL_OK)
        rc = needs_exchange(p, f.row, &needs_it, err);
    if (rc == RL_OK && needs_it) {
        p->established = rl_root_row_create();
        rc = rl_root_exchange(p->auth, document, p->established, err);
        rl_wipe(document->spec->token, strlen(document->spec->token));
    }
    if (rc == RL_OK)
        warn_of_roles(p, reply);
    if (rc == RL_OK && !document->spec->enabled)
        rl_message_append(&reply->warnings, &reply->n_warnings,
                          rl_strdup("it is not enabled: nobody comes from there (spec.enabled)"));
    rl_root_row_free(&f.row);
    return rc;
}

static Pb__TrustedCluster *copy_document(const Pb__TrustedCluster *from)
{
    Pb__TrustedCluster *copy = rl_message_copy(&from->base);
    rl_wipe(copy->spec->token, strlen(copy->spec->token));
    rl_message_text(&copy->spec->token, "");
    return copy;
}

rl_code rl_kind_put_root(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    const Pb__TrustedCluster *document = p->resource->trusted_cluster;
    struct rl_root_row *there = NULL;
    rl_code rc = rl_revision_bump(db, &p->revision, err);
    if (rc == RL_OK)
        rc = rl_roots_find(db, document->metadata->name, true, &there, err);
    struct rl_root_row *row = p->established ? p->established : there;
    if (rc == RL_E_NOT_FOUND && row)
        rc = RL_OK; /* else it was removed a moment ago */
    p->created = !there;
    if (rc == RL_OK && row) {
        if (row->document)
            pb__trusted_cluster__free_unpacked(row->document, NULL);
        row->document = copy_document(document);
        rc = rl_roots_put(db, row, p->revision, err);
    }
    rl_root_row_free(&there);
    return rc;
}

rl_code rl_kind_delete_root(struct rl_db *db, struct rl_auth *auth, const char *name,
                            struct rl_error *err)
{
    (void)auth;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_errands_add(db, "leave", name, err);
    return rc == RL_OK ? rl_root_purge(db, name, err) : rc;
}

/* ---- leaves ---- */

rl_code rl_kind_get_leaves(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    struct rl_leaf_row **rows = NULL;
    size_t count = 0;
    rl_code rc = rl_leaves_list(db, &rows, &count, err);
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        if (rl_getting_wants(g, rows[i]->document->metadata->name)) {
            rl_getting_append(g, PB__RESOURCE__KIND_REMOTE_CLUSTER, rows[i]->document);
            rows[i]->document = NULL;
        }
    rl_leaf_rows_free(&rows, count);
    return rc;
}

rl_code rl_kind_check_leaf(struct rl_putting *p, Pb__PutResourceResponse *reply,
                           struct rl_error *err)
{
    (void)reply;
    return p->replace ? RL_OK
                      : rl_fail(err, RL_E_INVAL,
                                "a remote_cluster is made when a leaf establishes trust; `tctl "
                                "create -f` changes its labels");
}

rl_code rl_kind_put_leaf(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    const Pb__Metadata *wanted = p->resource->remote_cluster->metadata;
    struct rl_leaf_row *row = NULL;
    rl_code rc = rl_revision_bump(db, &p->revision, err);
    if (rc == RL_OK)
        rc = rl_leaves_find(db, wanted->name, true, &row, err);
    if (rc != RL_OK)
        return rc;
    rl_leaf_row_set_labels(row, wanted->labels, wanted->n_labels);
    rc = rl_leaves_put(db, row, p->revision, err);
    rl_leaf_row_free(&row);
    p->created = false;
    return rc;
}

rl_code rl_kind_delete_leaf(struct rl_db *db, struct rl_auth *auth, const char *name,
                            struct rl_error *err)
{
    (void)auth;
    rl_code rc = rl_revision_bump(db, NULL, err);
    return rc == RL_OK ? rl_leaves_delete(db, name, err) : rc;
}
