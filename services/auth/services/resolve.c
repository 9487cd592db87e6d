/* resolve: a target that a user named, and where it is; may a user read what a service keeps. */
#include "services/control.h"

#include "clusters/clusters.h"
#include "db/instances.h"
#include "names/names.h"
#include "people/listing.h"
#include "people/visible.h"

#include <stdlib.h>
#include <string.h>

static rl_code open_caller(struct rl_auth *auth, const Pb__Caller *sent, struct rl_caller **out,
                           struct rl_error *err)
{
    if (!sent || !sent->claims)
        return rl_fail(err, RL_E_INVAL, "the request names no user");
    if (strcmp(sent->user, sent->claims->user) != 0)
        return rl_fail(err, RL_E_DENIED, "the claims are another user's");
    return rl_caller_open(auth, sent->user, sent->cluster, sent->claims, sent->client_address, out,
                          err);
}

/* The words for what is hidden and for what is not there. */
static rl_code no_such(const char *target, struct rl_error *err)
{
    char *shown = rl_name_printable(target);
    rl_fail(err, RL_E_NOT_FOUND, "no such node \"%s\"", shown);
    free(shown);
    return RL_E_NOT_FOUND;
}

static rl_code several(const char *target, char *const *nodes, size_t count, struct rl_error *err)
{
    struct rl_buf names;
    rl_buf_init(&names, RL_ERROR_MESSAGE_BYTES);
    for (size_t i = 0; i < count && i < 8; i++)
        rl_buf_printf(&names, "%s%s", i ? ", " : "", nodes[i]);
    char *shown = rl_name_printable(target);
    rl_fail(err, RL_E_INVAL, "%zu nodes match %s: %s%s; name one of them", count, shown,
            rl_buf_text(&names), count > 8 ? ", ..." : "");
    free(shown);
    rl_buf_fini(&names);
    return RL_E_INVAL;
}

/* The name (or the id) of the one node with this label, KEY=VALUE. Owns: heap text. */
static rl_code find_labelled(struct rl_auth *auth, const struct rl_caller *caller,
                             const char *target, char **out, struct rl_error *err)
{
    const char *equals = strchr(target, '=');
    char *key = rl_span_to_string(RL_SPAN(target, (size_t)(equals - target)));
    char **names = NULL;
    size_t count = 0;
    rl_code rc = rl_listing_find(auth, caller, key, equals + 1, &names, &count, err);
    if (rc == RL_OK && count == 0)
        rc = no_such(target, err);
    if (rc == RL_OK && count > 1)
        rc = several(target, names, count, err);
    if (rc == RL_OK)
        *out = rl_strdup(names[0]);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    free(key);
    return rc;
}

/* Exactly one node, or why not. */
static rl_code find_node(struct rl_auth *auth, const struct rl_caller *caller, const char *target,
                         Pb__Node ***nodes, size_t *count, struct rl_error *err)
{
    if (!*target || strlen(target) > RL_TARGET_BYTES_MAX)
        return no_such(strlen(target) > RL_TARGET_BYTES_MAX ? "..." : target, err);
    char *labelled = NULL;
    rl_code rc = strchr(target, '=') ? find_labelled(auth, caller, target, &labelled, err) : RL_OK;
    if (rc == RL_OK)
        rc = rl_visible_nodes(auth, caller, labelled ? labelled : target, nodes, count, err);
    if (rc == RL_OK && *count == 0)
        rc = no_such(target, err);
    if (rc == RL_OK && *count > 1) { /* one has the other's id for a name */
        char *ids[] = {(*nodes)[0]->metadata->name, (*nodes)[1]->metadata->name};
        rc = several(target, ids, RL_COUNT(ids), err);
    }
    free(labelled);
    return rc;
}

struct holding {
    const char *agent_id;
    Pb__ResolveTargetResponse *reply;
};

static rl_code find_holders(struct rl_db *db, void *context, struct rl_error *err)
{
    struct holding *h = context;
    while (h->reply->n_broker_ids)
        free(h->reply->broker_ids[--h->reply->n_broker_ids]);
    return rl_attachments_holders(db, h->agent_id, &h->reply->broker_ids, &h->reply->n_broker_ids,
                                  err);
}

static void describe(const Pb__Node *node, Pb__ResolveTargetResponse *reply)
{
    rl_message_text(&reply->agent_id, node->metadata->name);
    rl_message_text(&reply->name, node->spec->name);
    rl_message_text(&reply->mode, node->spec->mode);
    rl_message_text(&reply->address, node->spec->address);
    reply->is_online = strcmp(node->spec->status, "online") == 0;
    reply->last_seen_ns = node->spec->last_seen_ns;
}

/* Of our own users only, by our own proxies: a root reaches no leaf of ours through us. */
static rl_code resolve_leaf(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                            const Pb__ResolveTargetRequest *request,
                            Pb__ResolveTargetResponse *reply, struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = open_caller(auth, request->caller, &caller, err);
    if (rc == RL_OK && (!rl_identity_is_service(peer->identity, "proxy") ||
                        strcmp(caller->subject.cluster, auth->cluster) != 0))
        rc = rl_fail(err, RL_E_DENIED, "%s leads to no other cluster", auth->cluster);
    if (rc == RL_OK)
        rc = rl_clusters_resolve(auth, caller, request->cluster, reply, err);
    rl_caller_close(&caller);
    return rc;
}

/* A broker asks for who comes from a root; our own users come by proxies. */
static rl_code check_asker(const struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__Caller *caller, struct rl_error *err)
{
    bool is_ours = caller && strcmp(caller->cluster, auth->cluster) == 0;
    if (is_ours && !rl_identity_is_service(peer->identity, "proxy"))
        return rl_fail(err, RL_E_DENIED, "a broker asks for users of other clusters only");
    return RL_OK;
}

rl_code rl_control_resolve(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__ResolveTargetRequest *request,
                           Pb__ResolveTargetResponse *reply, struct rl_error *err)
{
    if (*request->cluster && strcmp(request->cluster, auth->cluster) != 0)
        return resolve_leaf(auth, peer, request, reply, err);
    if (strcmp(request->kind, "ssh") != 0)
        return rl_fail(err, RL_E_UNIMPLEMENTED, "no targets of the kind \"%.32s\" are known",
                       request->kind);
    struct rl_caller *caller = NULL;
    Pb__Node **nodes = NULL;
    size_t count = 0;
    rl_code rc = check_asker(auth, peer, request->caller, err);
    if (rc == RL_OK)
        rc = open_caller(auth, request->caller, &caller, err);
    if (rc == RL_OK)
        rc = find_node(auth, caller, request->target, &nodes, &count, err);
    if (rc == RL_OK) {
        struct holding h = {nodes[0]->metadata->name, reply};
        describe(nodes[0], reply);
        rc = rl_store_transaction(auth->store, find_holders, &h, err);
    }
    rl_visible_free(&nodes, count);
    rl_caller_close(&caller);
    return rc;
}

rl_code rl_control_decide(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__DecideRequest *request, Pb__DecideResponse *reply,
                          struct rl_error *err)
{
    (void)peer;
    struct rl_caller *caller = NULL;
    struct rl_authz_rule_grant grant = {false};
    rl_code rc = open_caller(auth, request->caller, &caller, err);
    if (rc == RL_OK)
        rc = rl_authz_rule(&caller->subject, request->resource_kind, request->verb, &grant, err);
    rl_caller_close(&caller);
    if (rc != RL_OK && rc != RL_E_DENIED)
        return rc;
    reply->is_allowed = rc == RL_OK;
    reply->own_only = grant.own_only;
    rl_message_text(&reply->reason, rc == RL_OK ? "" : err->message);
    return RL_OK;
}
