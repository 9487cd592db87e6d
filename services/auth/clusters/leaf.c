/* leaf: Trust's answers. Whoever establishes trust has a token and nothing else; whoever changes or
 * ends it shows a service certificate of that leaf's. */
#include "clusters/leaf.h"

#include "bytes/secret.h"
#include "clusters/peer_trust.h"
#include "db/cluster.h"
#include "db/labels.h"
#include "fleet/redeem.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_TYPE "trusted_cluster"

/* ---- a leaf comes ---- */

struct establishing {
    struct rl_auth *auth;
    const Pb__EstablishRequest *request;
    Pb__TrustBundle *trust; /* as it may be kept */
    Pb__Token *token;
    struct rl_leaf_row *there; /* under its name; NULL: none */
    uint8_t trust_id[RL_TRUST_ID_BYTES];
    bool is_again;
};

static bool is_same_list(const ProtobufCBinaryData *a, size_t a_count, const ProtobufCBinaryData *b,
                         size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!rl_span_equal(RL_BINARY(a[i]), RL_BINARY(b[i])))
            return false;
    return true;
}

static rl_code check_room(struct rl_db *db, struct rl_error *err)
{
    size_t count = 0;
    rl_code rc = rl_leaves_count(db, &count, err);
    return rc != RL_OK || count < RL_LEAVES_MAX
               ? rc
               : rl_fail(err, RL_E_EXHAUSTED, "%d leaves trust this cluster already",
                         RL_LEAVES_MAX);
}

/* A name is one cluster's: the one whose services it has trusted from the first. */
static rl_code check_name(struct rl_db *db, struct establishing *e, struct rl_error *err)
{
    const char *name = e->trust->cluster;
    struct rl_root_row *root = NULL;
    rl_code rc = rl_roots_find(db, name, false, &root, err);
    rl_root_row_free(&root);
    if (rc == RL_OK)
        return rl_fail(err, RL_E_PRECONDITION,
                       "%s is a root of %s: it can not be its leaf as well (trust goes one way)",
                       name, e->auth->cluster);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_leaves_find(db, name, true, &e->there, err);
    if (rc == RL_E_NOT_FOUND)
        return check_room(db, err);
    if (rc != RL_OK)
        return rc;
    if (is_same_list(e->there->trust->service_cas, e->there->trust->n_service_cas,
                     e->trust->service_cas, e->trust->n_service_cas))
        return RL_OK;
    return rl_fail(err, RL_E_EXISTS,
                   "the name %s is another leaf's; if that one is gone, remove it first: tctl rm "
                   "remote_cluster/%s",
                   name, name);
}

/* The answer of the first time was lost: the same token and the same authorities. */
static bool asks_again(const struct establishing *e)
{
    return e->there && e->there->is_fresh &&
           strcmp(e->there->token_id, e->token->metadata->name) == 0;
}

static rl_code keep_leaf(struct rl_db *db, const struct establishing *e, uint64_t revision,
                         struct rl_error *err)
{
    struct rl_leaf_row *row = rl_leaf_row_create();
    row->document = rl_message_create(&pb__remote_cluster__descriptor);
    row->document->metadata = rl_message_create(&pb__metadata__descriptor);
    row->document->spec = rl_message_create(&pb__remote_cluster_spec__descriptor);
    Pb__Metadata *metadata = row->document->metadata;
    rl_message_text(&metadata->name, e->trust->cluster);
    rl_message_text(&row->document->spec->version, e->request->version);
    for (size_t i = 0; i < e->token->spec->n_labels; i++)
        rl_labels_set(&metadata->labels, &metadata->n_labels, e->token->spec->labels[i]->key,
                      e->token->spec->labels[i]->value);
    for (size_t i = 0; e->there && i < e->there->document->metadata->n_labels; i++)
        rl_labels_set(&metadata->labels, &metadata->n_labels,
                      e->there->document->metadata->labels[i]->key,
                      e->there->document->metadata->labels[i]->value);
    row->trust = rl_message_copy(&e->trust->base);
    rl_buf_put(&row->trust_id, e->trust_id, sizeof e->trust_id);
    row->token_id = rl_strdup(e->token->metadata->name);
    rl_code rc = rl_leaves_put(db, row, revision, err);
    rl_leaf_row_free(&row);
    return rc;
}

/* The token before all else: who has none takes no lock that others wait for. */
static rl_code take_token(struct rl_db *db, struct establishing *e, struct rl_error *err)
{
    int64_t now_ns = 0;
    rl_code rc = rl_db_now(db, &now_ns, err);
    if (rc == RL_OK)
        rc = rl_redeem_find(db, e->request->token, &e->token, err);
    if (rc == RL_OK)
        rc = rl_redeem_check_type(e->token, TOKEN_TYPE, err);
    if (rc == RL_OK)
        rc = rl_redeem_check_term(e->token, true, now_ns, err);
    if (rc == RL_OK)
        rc = rl_redeem_check_name(e->token, e->trust->cluster, err);
    if (rc == RL_OK)
        rc = check_name(db, e, err);
    if (rc != RL_OK)
        return rc;
    e->is_again = asks_again(e);
    return rl_redeem_check_term(e->token, e->is_again, now_ns, err);
}

static rl_code establish(struct rl_db *db, void *context, struct rl_error *err)
{
    struct establishing *e = context;
    uint64_t revision = 0;
    if (e->token)
        pb__token__free_unpacked(e->token, NULL);
    e->token = NULL;
    rl_leaf_row_free(&e->there);
    rl_code rc = take_token(db, e, err);
    if (rc == RL_OK && !e->is_again)
        rc = rl_tokens_use(db, e->token->metadata->name, err);
    if (rc == RL_OK)
        rc = rl_revision_bump(db, &revision, err);
    if (rc != RL_OK)
        return rc;
    /* A new one each time: a word of goodbye to the last that is still on its way ends nothing. */
    rl_random(e->trust_id, sizeof e->trust_id);
    return keep_leaf(db, e, revision, err);
}

static void tell_token(const struct establishing *e, const struct rl_rpc_peer *peer, rl_code rc,
                       const struct rl_error *err)
{
    if (!e->token)
        return;
    Pb__Event *used = rl_auth_event(e->auth, "token.use", rc == RL_OK ? "success" : "denied", peer);
    rl_auth_event_resource(used, "token", e->token->metadata->name, "");
    if (rc != RL_OK)
        rl_event_set(&used->reason, err->message);
    rl_auth_tell(e->auth, &used);
}

static void tell_leaf(struct rl_auth *auth, const char *type, const char *outcome,
                      const struct rl_rpc_peer *peer, const char *leaf, const char *reason)
{
    Pb__Event *event = rl_auth_event(auth, type, outcome, peer);
    rl_auth_event_resource(event, "remote_cluster", "", leaf);
    rl_event_set(&event->reason, reason);
    rl_event_detail(event, "by", "leaf");
    rl_auth_tell(auth, &event);
}

static rl_code check_request(const struct rl_auth *auth, const Pb__EstablishRequest *request,
                             Pb__TrustBundle **trust, struct rl_error *err)
{
    rl_code rc = rl_protocol_check(request->protocol, request->protocol_min, "the leaf", err);
    if (rc == RL_OK && strlen(request->version) > RL_LEAF_VERSION_BYTES_MAX)
        rc = rl_fail(err, RL_E_INVAL, "a version of more than %d bytes", RL_LEAF_VERSION_BYTES_MAX);
    if (rc == RL_OK && request->trust && strcmp(request->trust->cluster, auth->cluster) == 0)
        rc = rl_fail(err, RL_E_INVAL, "%s is this cluster's own name: no cluster trusts itself",
                     auth->cluster);
    if (rc == RL_OK)
        rc = rl_peer_trust_take(request->trust, RL_PEER_LEAF,
                                request->trust ? request->trust->cluster : "", trust, err);
    return rc;
}

rl_code rl_leaf_establish(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__EstablishRequest *request, Pb__EstablishResponse *reply,
                          struct rl_error *err)
{
    struct establishing e = {.auth = auth, .request = request};
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = check_request(auth, request, &e.trust, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK) {
        if (e.trust)
            pb__trust_bundle__free_unpacked(e.trust, NULL);
        return rc;
    }
    rc = rl_store_transaction(auth->store, establish, &e, err);
    if (rc == RL_OK) {
        rl_message_bytes(&reply->trust_id, RL_SPAN(e.trust_id, sizeof e.trust_id));
        reply->trust = rl_peer_trust_own(snapshot, RL_PEER_ROOT);
        rl_message_text(&reply->version, RL_VERSION);
    }
    tell_token(&e, peer, rc, err);
    tell_leaf(auth, "trusted_cluster.create", rc == RL_OK ? "success" : "denied", peer,
              e.trust->cluster, rc == RL_OK ? "" : err->message);
    if (e.token)
        pb__token__free_unpacked(e.token, NULL);
    rl_leaf_row_free(&e.there);
    pb__trust_bundle__free_unpacked(e.trust, NULL);
    rl_snapshot_unref(&snapshot);
    return rc;
}

/* ---- is it still there ---- */

struct asking {
    struct rl_span trust_id;
    bool is_there;
};

static rl_code ask(struct rl_db *db, void *context, struct rl_error *err)
{
    struct asking *a = context;
    return rl_leaves_have_trust(db, a->trust_id, &a->is_there, err);
}

rl_code rl_leaf_state(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__TrustStateRequest *request, Pb__TrustStateResponse *reply,
                      struct rl_error *err)
{
    (void)peer;
    if (request->trust_id.len != RL_TRUST_ID_BYTES)
        return rl_fail(err, RL_E_INVAL, "a trust's id has %d bytes", RL_TRUST_ID_BYTES);
    struct asking a = {RL_BINARY(request->trust_id), false};
    rl_code rc = rl_store_transaction(auth->store, ask, &a, err);
    if (rc == RL_OK)
        reply->is_there = a.is_there;
    return rc;
}

/* ---- its authorities change ---- */

struct updating {
    const char *leaf;
    const char *version;
    Pb__TrustBundle *trust;
    bool has_changed;
};

static bool is_same_trust(const Pb__TrustBundle *a, const Pb__TrustBundle *b)
{
    uint8_t one[32], other[32];
    rl_peer_trust_hash(a, one);
    rl_peer_trust_hash(b, other);
    return memcmp(one, other, sizeof one) == 0;
}

static rl_code find_leaf(struct rl_db *db, const char *leaf, struct rl_leaf_row **row,
                         struct rl_error *err)
{
    rl_code rc = rl_leaves_find(db, leaf, true, row, err);
    return rc == RL_E_NOT_FOUND ? rl_fail(err, RL_E_DENIED, "%s is no leaf of this cluster", leaf)
                                : rc;
}

static rl_code update(struct rl_db *db, void *context, struct rl_error *err)
{
    struct updating *u = context;
    struct rl_leaf_row *row = NULL;
    uint64_t revision = 0;
    rl_code rc = find_leaf(db, u->leaf, &row, err);
    u->has_changed = rc == RL_OK && !is_same_trust(row->trust, u->trust);
    if (u->has_changed)
        rc = rl_revision_bump(db, &revision, err);
    if (rc == RL_OK && u->has_changed) {
        pb__trust_bundle__free_unpacked(row->trust, NULL);
        row->trust = rl_message_copy(&u->trust->base);
        rl_message_text(&row->document->spec->version, u->version);
        rc = rl_leaves_put(db, row, revision, err);
    }
    rl_leaf_row_free(&row);
    return rc;
}

/* Who takes away the authority that vouches for it could never say anything more. */
static rl_code check_own_authority(const struct rl_identity *who, const Pb__TrustBundle *trust,
                                   struct rl_error *err)
{
    uint8_t hash[32];
    for (size_t i = 0; i < trust->n_service_cas; i++) {
        struct rl_span der = RL_BINARY(trust->service_cas[i]);
        if (EVP_Digest(der.p, der.n, hash, NULL, EVP_sha256(), NULL) == 1 &&
            memcmp(hash, who->authority_sha256, sizeof hash) == 0)
            return RL_OK;
    }
    return rl_fail(err, RL_E_INVAL, "the authority of the one who tells is not among them");
}

rl_code rl_leaf_update(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                       const Pb__TrustUpdateRequest *request, Pb__TrustUpdateResponse *reply,
                       struct rl_error *err)
{
    (void)reply;
    struct updating u = {.leaf = peer->identity->cluster, .version = request->version};
    rl_code rc = rl_peer_trust_take(request->trust, RL_PEER_LEAF, u.leaf, &u.trust, err);
    if (rc == RL_OK && strlen(request->version) > RL_LEAF_VERSION_BYTES_MAX)
        rc = rl_fail(err, RL_E_INVAL, "a version of more than %d bytes", RL_LEAF_VERSION_BYTES_MAX);
    if (rc == RL_OK)
        rc = check_own_authority(peer->identity, u.trust, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, update, &u, err);
    if (rc == RL_OK && u.has_changed)
        tell_leaf(auth, "trusted_cluster.update", "success", peer, u.leaf, "");
    if (u.trust)
        pb__trust_bundle__free_unpacked(u.trust, NULL);
    return rc;
}

/* ---- a leaf goes ---- */

struct leaving {
    const char *leaf;
    struct rl_span trust_id;
    bool was_there;
};

static rl_code leave(struct rl_db *db, void *context, struct rl_error *err)
{
    struct leaving *l = context;
    struct rl_leaf_row *row = NULL;
    rl_code rc = rl_leaves_find(db, l->leaf, true, &row, err);
    l->was_there = rc == RL_OK && rl_span_equal(rl_buf_span(&row->trust_id), l->trust_id);
    if (l->was_there)
        rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK && l->was_there)
        rc = rl_leaves_delete(db, l->leaf, err);
    rl_leaf_row_free(&row);
    return rc == RL_E_NOT_FOUND ? RL_OK : rc;
}

rl_code rl_leaf_leave(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__TrustLeaveRequest *request, Pb__TrustLeaveResponse *reply,
                      struct rl_error *err)
{
    (void)reply;
    struct leaving l = {peer->identity->cluster, RL_BINARY(request->trust_id), false};
    rl_code rc = rl_store_transaction(auth->store, leave, &l, err);
    if (rc == RL_OK && l.was_there)
        tell_leaf(auth, "trusted_cluster.delete", "success", peer, l.leaf, "");
    return rc;
}
