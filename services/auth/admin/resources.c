/* admin_resources: documents read, written and removed. One row for each kind says how. */
#include "admin/kind.h"

#include "authority/issue.h"
#include "clock/clock.h"
#include "db/cluster.h"
#include "db/instances.h"
#include "db/tokens.h"
#include "record/events.h"
#include "resource/resource.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

bool rl_getting_wants(const struct rl_getting *g, const char *name)
{
    return !*g->name || strcmp(g->name, name) == 0;
}

void rl_getting_append(struct rl_getting *g, Pb__Resource__KindCase kind, void *document)
{
    Pb__Resource *resource = rl_message_create(&pb__resource__descriptor);
    resource->kind_case = kind;
    resource->role = document; /* whichever of the union */
    rl_message_append(&g->reply->resources, &g->reply->n_resources, resource);
}

static rl_code get_roles(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    (void)db;
    (void)err;
    for (size_t i = 0; i < g->snapshot->role_count; i++)
        if (rl_getting_wants(g, g->snapshot->roles[i]->metadata->name))
            rl_getting_append(g, PB__RESOURCE__KIND_ROLE,
                              rl_message_copy(&g->snapshot->roles[i]->base));
    return RL_OK;
}

/* The snapshot has both; a root's are "ROOT/ID". */
static void append_locks_of_roots(struct rl_getting *g)
{
    for (size_t i = 0; g->with_roots && i < g->snapshot->lock_count; i++) {
        const Pb__Lock *theirs = g->snapshot->locks[i];
        if (!strchr(theirs->metadata->name, '/') || !rl_getting_wants(g, theirs->metadata->name))
            continue;
        Pb__Lock *lock = rl_message_copy(&theirs->base);
        rl_message_text(&lock->spec->origin, lock->spec->target_cluster);
        rl_getting_append(g, PB__RESOURCE__KIND_LOCK, lock);
    }
}

static rl_code get_locks(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    Pb__Lock **locks = NULL;
    size_t count = 0;
    rl_code rc = rl_locks_list(db, &locks, &count, err);
    for (size_t i = 0; i < count; i++) {
        if (rl_getting_wants(g, locks[i]->metadata->name))
            rl_getting_append(g, PB__RESOURCE__KIND_LOCK, locks[i]);
        else
            pb__lock__free_unpacked(locks[i], NULL);
    }
    free(locks);
    append_locks_of_roots(g);
    return rc;
}

static rl_code get_users(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    Pb__User **users = NULL;
    size_t count = 0;
    rl_code rc = rl_users_list(db, &users, &count, err);
    for (size_t i = 0; i < count; i++) {
        if (rl_getting_wants(g, users[i]->metadata->name))
            rl_getting_append(g, PB__RESOURCE__KIND_USER, users[i]);
        else
            pb__user__free_unpacked(users[i], NULL);
    }
    free(users);
    return rc;
}

static rl_code get_tokens(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    Pb__Token **tokens = NULL;
    size_t count = 0;
    rl_code rc = rl_tokens_list(db, &tokens, &count, err);
    for (size_t i = 0; i < count; i++) {
        rl_message_text(&tokens[i]->spec->secret, RL_RESOURCE_REDACTED);
        if (rl_getting_wants(g, tokens[i]->metadata->name))
            rl_getting_append(g, PB__RESOURCE__KIND_TOKEN, tokens[i]);
        else
            pb__token__free_unpacked(tokens[i], NULL);
    }
    free(tokens);
    return rc;
}

static rl_code get_nodes(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    Pb__Node **nodes = NULL;
    size_t count = 0;
    rl_code rc = rl_nodes_list(db, *g->name ? g->name : NULL, &nodes, &count, err);
    for (size_t i = 0; i < count; i++)
        rl_getting_append(g, PB__RESOURCE__KIND_NODE, nodes[i]);
    free(nodes);
    return rc;
}

static rl_code get_authorities(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    (void)db;
    (void)err;
    const struct rl_authorities *a = g->snapshot->authorities;
    for (size_t i = 0; i < a->count; i++)
        if (rl_getting_wants(g, a->list[i]->metadata->name)) {
            Pb__CertificateAuthority *ca = rl_message_copy(&a->list[i]->base);
            rl_message_text(&ca->spec->cluster, a->bundle->cluster);
            rl_getting_append(g, PB__RESOURCE__KIND_CA, ca);
        }
    return RL_OK;
}

static rl_code get_config(struct rl_db *db, struct rl_getting *g, struct rl_error *err)
{
    Pb__ClusterConfig *config = NULL;
    rl_code rc = rl_cluster_config(db, &config, err);
    if (rc == RL_OK)
        rl_getting_append(g, PB__RESOURCE__KIND_CLUSTER_CONFIG, config);
    return rc;
}

/* ---- writing ---- */

static rl_code put_role(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    rl_code rc = rl_revision_bump(db, &p->revision, err);
    return rc == RL_OK
               ? rl_roles_put(db, p->resource->role, p->revision, p->replace, &p->created, err)
               : rc;
}

static rl_code put_lock(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    Pb__Lock *lock = p->resource->lock;
    rl_message_text(&lock->spec->created_by, p->caller->user);
    rl_code rc = rl_revision_bump(db, &p->revision, err);
    return rc == RL_OK ? rl_locks_put(db, lock, p->revision, p->replace, &p->created, err) : rc;
}

static rl_code put_user(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    struct rl_user_record *there = NULL;
    rl_code rc = rl_users_find(db, p->resource->user->metadata->name, false, &there, err);
    rl_user_record_free(&there);
    if (rc == RL_E_NOT_FOUND) {
        p->created = true;
        return rl_users_insert(db, p->resource->user, err);
    }
    if (rc == RL_OK && !p->replace)
        rc = rl_fail(err, RL_E_EXISTS, "user \"%s\" is there already; `tctl create -f` replaces it",
                     p->resource->user->metadata->name);
    p->created = false;
    return rc == RL_OK ? rl_user_replace(p->auth, db, p->resource->user, err) : rc;
}

static rl_code put_config(struct rl_db *db, struct rl_putting *p, struct rl_error *err)
{
    rl_code rc = rl_revision_bump(db, &p->revision, err); /* agents are told of it */
    p->created = false;
    return rc == RL_OK ? rl_cluster_set_config(db, p->resource->cluster_config->spec, err) : rc;
}

/* ---- checks before writing ---- */

static void append_warnings(struct rl_buf *lines, Pb__PutResourceResponse *reply)
{
    char *text = rl_strdup(rl_buf_text(lines));
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            rl_message_append(&reply->warnings, &reply->n_warnings, rl_strdup(line));
    free(text);
}

static rl_code check_role(struct rl_putting *p, Pb__PutResourceResponse *reply,
                          struct rl_error *err)
{
    struct rl_buf warnings;
    rl_buf_init(&warnings, 1u << 16);
    rl_code rc = rl_authz_check_role(p->resource->role, &warnings, err);
    if (rc == RL_OK)
        append_warnings(&warnings, reply);
    rl_buf_fini(&warnings);
    return rc;
}

/* Who could not take it back has to mean it: it ends by itself, or another one makes it. */
static rl_code check_lock_on_oneself(const struct rl_putting *p, Pb__PutResourceResponse *reply,
                                     struct rl_error *err)
{
    Pb__Lock *lock = p->resource->lock;
    struct rl_error why;
    if (rl_authz_locks(&p->caller->subject, NULL, NULL, &lock, 1, NULL, 0, rl_clock_wall_ns(),
                       &why) == RL_OK)
        return RL_OK;
    if (!lock->metadata->expires_ns)
        return rl_fail(err, RL_E_PRECONDITION,
                       "this lock would stop you yourself (%s), and you could not take it back: "
                       "give it an end (--ttl), or let another administrator make it",
                       p->caller->user);
    char until[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(lock->metadata->expires_ns, until);
    char *warning =
        rl_sprintf("this lock stops you yourself (%s) until %s", p->caller->user, until);
    rl_message_append(&reply->warnings, &reply->n_warnings, warning);
    return RL_OK;
}

static rl_code check_lock(struct rl_putting *p, Pb__PutResourceResponse *reply,
                          struct rl_error *err)
{
    static const char *const kinds[] = {"user", "role", "node", "login", "mfa_device"};
    Pb__Lock *lock = p->resource->lock;
    const char *kind = lock->spec ? lock->spec->target_kind : "";
    bool is_known = false;
    for (size_t i = 0; i < RL_COUNT(kinds); i++)
        is_known |= strcmp(kind, kinds[i]) == 0;
    if (!is_known || !*lock->spec->target_name)
        return rl_fail(err, RL_E_INVAL,
                       "a lock has a target: user, role, node, login or mfa_device, and its name");
    if (lock->metadata->expires_ns && lock->metadata->expires_ns <= rl_clock_wall_ns())
        return rl_fail(err, RL_E_INVAL, "the lock would have ended already");
    return check_lock_on_oneself(p, reply, err);
}

static rl_code check_user(struct rl_putting *p, Pb__PutResourceResponse *reply,
                          struct rl_error *err)
{
    (void)reply;
    if (!p->resource->user->spec)
        p->resource->user->spec = rl_message_create(&pb__user_spec__descriptor);
    return rl_user_check(p->caller->snapshot, p->resource->user, err);
}

static rl_code check_config(struct rl_putting *p, Pb__PutResourceResponse *reply,
                            struct rl_error *err)
{
    (void)reply;
    const Pb__ClusterConfigSpec *spec = p->resource->cluster_config->spec;
    if (!spec)
        return rl_fail(err, RL_E_INVAL, "cluster_config has no spec");
    if (spec->policy_max_age_s < 300)
        return rl_fail(err, RL_E_INVAL, "policy_max_age is at least 5m");
    uint64_t ttl_s = spec->node_certificate_ttl_s;
    if (ttl_s && (ttl_s < RL_INSTANCE_TTL_S_MIN || ttl_s > RL_INSTANCE_TTL_S_MAX))
        return rl_fail(err, RL_E_INVAL, "node_certificate_ttl is %d seconds to %llu days",
                       RL_INSTANCE_TTL_S_MIN, RL_INSTANCE_TTL_S_MAX / 86400);
    char *host = NULL;
    uint16_t port = 0;
    rl_code rc = RL_OK;
    if (*spec->public_address)
        rc = rl_address_split(spec->public_address, &host, &port, err);
    free(host);
    return rc;
}

/* ---- removing ---- */

static rl_code delete_role(struct rl_db *db, struct rl_auth *auth, const char *name,
                           struct rl_error *err)
{
    (void)auth;
    char **users = NULL;
    size_t count = 0;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_users_with_role(db, name, &users, &count, err);
    if (rc == RL_OK && count)
        rc = rl_fail(err, RL_E_PRECONDITION,
                     "role \"%s\" is held by %s%s; take it away first with `tctl users update`",
                     name, users[0], count > 1 ? " and others" : "");
    if (rc == RL_OK)
        rc = rl_roles_delete(db, name, err);
    while (count)
        free(users[--count]);
    free(users);
    return rc;
}

static rl_code delete_lock(struct rl_db *db, struct rl_auth *auth, const char *name,
                           struct rl_error *err)
{
    (void)auth;
    if (strchr(name, '/'))
        return rl_fail(err, RL_E_PRECONDITION,
                       "this is a lock of a root of this cluster: it is taken back there");
    rl_code rc = rl_revision_bump(db, NULL, err);
    return rc == RL_OK ? rl_locks_delete(db, name, err) : rc;
}

static rl_code delete_user(struct rl_db *db, struct rl_auth *auth, const char *name,
                           struct rl_error *err)
{
    return rl_user_delete(auth, db, name, err);
}

static rl_code delete_token(struct rl_db *db, struct rl_auth *auth, const char *name,
                            struct rl_error *err)
{
    (void)auth;
    return rl_tokens_delete(db, name, err);
}

static rl_code delete_node(struct rl_db *db, struct rl_auth *auth, const char *name,
                           struct rl_error *err)
{
    (void)auth;
    return rl_instances_delete(db, name, err);
}

/* ---- the kinds ---- */

struct kind {
    const char *name;
    rl_code (*get)(struct rl_db *, struct rl_getting *, struct rl_error *);
    rl_code (*check)(struct rl_putting *, Pb__PutResourceResponse *, struct rl_error *);
    rl_code (*put)(struct rl_db *, struct rl_putting *, struct rl_error *);
    rl_code (*remove)(struct rl_db *, struct rl_auth *, const char *, struct rl_error *);
    const char *created, *updated, *deleted; /* event types */
};

static const struct kind kinds[] = {
    {"role", get_roles, check_role, put_role, delete_role, "role.create", "role.update",
     "role.delete"},
    {"user", get_users, check_user, put_user, delete_user, "user.create", "user.update",
     "user.delete"},
    {"lock", get_locks, check_lock, put_lock, delete_lock, "lock.create", "lock.update",
     "lock.delete"},
    {"cluster_config", get_config, check_config, put_config, NULL, "config.update", "config.update",
     NULL},
    {"token", get_tokens, NULL, NULL, delete_token, NULL, NULL, "token.delete"},
    {"trusted_cluster", rl_kind_get_roots, rl_kind_check_root, rl_kind_put_root,
     rl_kind_delete_root, "trusted_cluster.create", "trusted_cluster.update",
     "trusted_cluster.delete"},
    {"remote_cluster", rl_kind_get_leaves, rl_kind_check_leaf, rl_kind_put_leaf,
     rl_kind_delete_leaf, NULL, "trusted_cluster.update", "trusted_cluster.delete"},
    {"node", get_nodes, NULL, NULL, delete_node, NULL, NULL, NULL},
    {"ca", get_authorities, NULL, NULL, NULL, NULL, NULL, NULL},
};

static const struct kind *find_kind(const char *name, struct rl_error *err)
{
    for (size_t i = 0; i < RL_COUNT(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    rl_fail(err, RL_E_UNIMPLEMENTED, "this version keeps no resources of the kind \"%.32s\"", name);
    return NULL;
}

struct reading {
    const struct kind *kind;
    struct rl_getting getting;
};

static rl_code read_kind(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reading *r = context;
    Pb__GetResourcesResponse *reply = r->getting.reply;
    while (reply->n_resources)
        pb__resource__free_unpacked(reply->resources[--reply->n_resources], NULL);
    return r->kind->get(db, &r->getting, err);
}

rl_code rl_admin_get(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__GetResourcesRequest *request, Pb__GetResourcesResponse *reply,
                     struct rl_error *err)
{
    const struct kind *kind = find_kind(request->kind, err);
    if (!kind)
        return RL_E_UNIMPLEMENTED;
    struct rl_caller *caller = NULL;
    rl_code rc =
        rl_caller_enter(auth, peer, kind->name, *request->name ? "read" : "list", &caller, err);
    if (rc != RL_OK)
        return rc;
    struct reading r = {kind,
                        {.snapshot = caller->snapshot,
                         .name = request->name,
                         .with_roots = request->with_roots,
                         .reply = reply}};
    rc = rl_store_transaction(auth->store, read_kind, &r, err);
    if (rc == RL_OK && *request->name && reply->n_resources == 0) {
        char *shown = rl_name_printable(request->name);
        rc = rl_fail(err, RL_E_NOT_FOUND, "no such %s \"%.64s\"", kind->name, shown);
        free(shown);
    }
    rl_caller_close(&caller);
    return rc;
}

struct writing {
    const struct kind *kind;
    struct rl_putting putting;
};

static rl_code write_kind(struct rl_db *db, void *context, struct rl_error *err)
{
    struct writing *w = context;
    return w->kind->put(db, &w->putting, err);
}

static void tell(struct rl_auth *auth, const struct rl_rpc_peer *peer, const char *type,
                 const char *kind, const char *name)
{
    if (!type)
        return;
    Pb__Event *event = rl_auth_event(auth, type, "success", peer);
    rl_auth_event_resource(event, kind, "", name);
    rl_auth_tell(auth, &event);
}

/* A lock may come without a name. */
static void name_lock(Pb__Resource *resource)
{
    if (resource->kind_case != PB__RESOURCE__KIND_LOCK)
        return;
    Pb__Lock *lock = resource->lock;
    if (!lock->metadata)
        lock->metadata = rl_message_create(&pb__metadata__descriptor);
    char id[RL_UUID_TEXT_BYTES];
    rl_uuid7(id);
    if (!*lock->metadata->name)
        rl_message_text(&lock->metadata->name, id);
}

static rl_code put_document(struct rl_auth *auth, const struct rl_caller *caller,
                            const struct kind *kind, Pb__Resource *resource, bool replace,
                            Pb__PutResourceResponse *reply, struct rl_error *err)
{
    struct writing w = {kind, {auth, caller, resource, replace, false, 0, NULL}};
    name_lock(resource);
    rl_code rc = rl_resource_check(resource, err);
    if (rc == RL_OK)
        rc = kind->check(&w.putting, reply, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, write_kind, &w, err);
    reply->created = w.putting.created;
    rl_root_row_free(&w.putting.established);
    return rc;
}

rl_code rl_admin_put(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__PutResourceRequest *request, Pb__PutResourceResponse *reply,
                     struct rl_error *err)
{
    const char *name = request->resource ? rl_resource_kind(request->resource) : NULL;
    const struct kind *kind = find_kind(name ? name : "", err);
    if (!kind)
        return RL_E_UNIMPLEMENTED;
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, kind->name, request->replace ? "update" : "create",
                                 &caller, err);
    if (rc == RL_OK && request->replace)
        rc = rl_caller_may(caller, kind->name, "create", err);
    if (rc == RL_OK && !kind->put)
        rc = rl_fail(err, RL_E_INVAL, "a %s is not made from a document%s", kind->name,
                     strcmp(kind->name, "token") == 0 ? "; use `tctl tokens add`" : "");
    if (rc == RL_OK) {
        Pb__Resource *copy = rl_message_copy(&request->resource->base);
        rc = put_document(auth, caller, kind, copy, request->replace, reply, err);
        if (rc == RL_OK)
            tell(auth, peer, reply->created ? kind->created : kind->updated, kind->name,
                 rl_resource_name(copy));
        pb__resource__free_unpacked(copy, NULL);
    }
    rl_caller_close(&caller);
    return rc;
}

struct removing {
    const struct kind *kind;
    struct rl_auth *auth;
    const char *name;
};

static rl_code remove_one(struct rl_db *db, void *context, struct rl_error *err)
{
    struct removing *r = context;
    return r->kind->remove(db, r->auth, r->name, err);
}

rl_code rl_admin_delete(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__DeleteResourceRequest *request, Pb__DeleteResourceResponse *reply,
                        struct rl_error *err)
{
    (void)reply;
    const struct kind *kind = find_kind(request->kind, err);
    if (!kind)
        return RL_E_UNIMPLEMENTED;
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, kind->name, "delete", &caller, err);
    if (rc == RL_OK && !kind->remove)
        rc = rl_fail(err, RL_E_INVAL, "a %s can not be removed", kind->name);
    struct removing r = {kind, auth, request->name};
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, remove_one, &r, err);
    if (rc == RL_OK)
        tell(auth, peer, kind->deleted, kind->name, request->name);
    rl_caller_close(&caller);
    return rc;
}
