/* root: the clusters whose users may come here, as this cluster's brokers hear of them. */
#include "clusters/root.h"

#include "clusters/leaf.h"
#include "clusters/peer_trust.h"
#include "db/cluster.h"
#include "db/errands.h"
#include "log/log.h"

#include <stdlib.h>
#include <string.h>

#define REASON_BYTES_MAX 500

static rl_code no_such(const char *root, struct rl_error *err)
{
    return rl_fail(err, RL_E_NOT_FOUND, "this cluster trusts no cluster \"%.253s\"", root);
}

rl_code rl_root_purge(struct rl_db *db, const char *name, struct rl_error *err)
{
    struct rl_root_row *row = NULL;
    rl_code rc = rl_roots_find(db, name, true, &row, err);
    if (rc == RL_OK)
        rc = rl_errands_drop(db, rl_buf_span(&row->trust_id), err);
    if (rc == RL_OK)
        rc = rl_roots_delete(db, name, err);
    rl_root_row_free(&row);
    return rc;
}

/* ---- a policy ---- */

struct taking {
    const struct rl_auth *auth;
    const Pb__TakeRootPolicyRequest *request;
    uint64_t version;
    uint8_t sha256[32];
};

/* What was held already, or something older: the broker is told what is held now. */
static bool is_news(const Pb__PolicyUpdate *update, const struct rl_policy *held)
{
    Pb__PolicySeal *seal =
        pb__policy_seal__unpack(NULL, update->seal->seal.len, update->seal->seal.data);
    bool is_newer = !seal || !held || seal->version > rl_policy_version(held);
    if (seal)
        pb__policy_seal__free_unpacked(seal, NULL);
    return is_newer;
}

static rl_code check_stops(const struct rl_policy *policy, struct rl_error *err)
{
    Pb__Lock *const *locks = NULL;
    Pb__Cut *const *cuts = NULL;
    size_t lock_count = 0, cut_count = 0;
    rl_policy_locks(policy, &locks, &lock_count);
    rl_policy_cuts(policy, &cuts, &cut_count);
    return lock_count + cut_count <= RL_ROOT_STOPS_MAX
               ? RL_OK
               : rl_fail(err, RL_E_EXHAUSTED, "it stops more than %d users", RL_ROOT_STOPS_MAX);
}

static rl_code apply(const struct taking *t, const struct rl_root_row *row,
                     const struct rl_policy *held, struct rl_policy **out, struct rl_error *err)
{
    char *id = rl_sprintf(RL_LEAF_PREFIX "%s", t->auth->cluster);
    const struct rl_policy_expect expect = {
        .cluster = row->document->metadata->name,
        .agent_id = id,
        .floor_version = row->policy_version,
        .nonce = held ? RL_SPAN(NULL, 0) : rl_buf_span(&row->policy_nonce),
        .keys = {row->trust->n_policy_keys, row->trust->policy_keys},
    };
    rl_code rc = rl_policy_apply(held, t->request->update, &expect, out, err);
    free(id);
    return rc;
}

/* The policy says by which authorities the root is known from now on. One that leaves out the key
 * that signed it could never be read again: the next one is checked by what this one says. */
static rl_code take_authorities(struct rl_root_row *row, const struct rl_policy *policy,
                                struct rl_error *err)
{
    const char *root = row->document->metadata->name;
    Pb__TrustBundle *said = rl_peer_trust_of_policy(policy, root);
    Pb__TrustBundle *taken = NULL;
    rl_code rc = rl_peer_trust_take(said, RL_PEER_ROOT, root, &taken, err);
    pb__trust_bundle__free_unpacked(said, NULL);
    if (rc != RL_OK)
        return rc;
    pb__trust_bundle__free_unpacked(row->trust, NULL);
    row->trust = taken;
    return RL_OK;
}

static rl_code keep_policy(struct rl_db *db, struct taking *t, struct rl_root_row *row,
                           const struct rl_policy *policy, struct rl_error *err)
{
    struct rl_policy *again = NULL;
    uint64_t revision = row->document->metadata->revision;
    rl_policy_hash(policy, t->sha256);
    t->version = rl_policy_version(policy);
    bool is_same = rl_span_equal(rl_buf_span(&row->policy_sha256), RL_SPAN(t->sha256, 32));
    rl_buf_clear(&row->policy);
    rl_buf_clear(&row->policy_sha256);
    rl_buf_put(&row->policy_sha256, t->sha256, 32);
    row->policy_version = t->version;
    rl_code rc = rl_policy_pack(policy, &row->policy, err);
    if (rc == RL_OK)
        rc = take_authorities(row, policy, err);
    if (rc == RL_OK)
        rc = rl_root_policy_load(row, t->auth->cluster, &again, err);
    rl_policy_unref(&again);
    /* Who is stopped, and by whom they are known, is policy here; that the root's version moved on
     * without that is not. */
    if (rc == RL_OK && !is_same)
        rc = rl_revision_bump(db, &revision, err);
    return rc == RL_OK ? rl_roots_put(db, row, revision, err) : rc;
}

static rl_code take(struct rl_db *db, void *context, struct rl_error *err)
{
    struct taking *t = context;
    struct rl_root_row *row = NULL;
    struct rl_policy *held = NULL, *policy = NULL;
    rl_code rc = rl_roots_find(db, t->request->root, true, &row, err);
    if (rc == RL_E_NOT_FOUND || (rc == RL_OK && !row->document->spec->enabled))
        rc = no_such(t->request->root, err);
    if (rc == RL_OK)
        rc = rl_root_policy_load(row, t->auth->cluster, &held, err);
    if (rc == RL_OK && is_news(t->request->update, held)) {
        rc = apply(t, row, held, &policy, err);
        if (rc == RL_OK)
            rc = check_stops(policy, err);
        if (rc == RL_OK)
            rc = keep_policy(db, t, row, policy, err);
    } else if (rc == RL_OK) {
        t->version = row->policy_version;
        rl_policy_hash(held, t->sha256);
    }
    rl_policy_unref(&policy);
    rl_policy_unref(&held);
    rl_root_row_free(&row);
    return rc;
}

rl_code rl_control_take_root_policy(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                    const Pb__TakeRootPolicyRequest *request,
                                    Pb__TakeRootPolicyResponse *reply, struct rl_error *err)
{
    (void)peer;
    if (!request->update || !request->update->seal)
        return rl_fail(err, RL_E_INVAL, "no sealed policy");
    struct taking t = {.auth = auth, .request = request};
    rl_code rc = rl_store_transaction(auth->store, take, &t, err);
    if (rc == RL_E_UNAUTHENTICATED || rc == RL_E_DENIED)
        rl_log_warn("a root's policy is refused", RL_TEXT("root", request->root),
                    RL_TEXT("error", err->message));
    if (rc != RL_OK)
        return rc;
    reply->version = t.version;
    rl_message_bytes(&reply->sha256, RL_SPAN(t.sha256, sizeof t.sha256));
    return RL_OK;
}

/* ---- whether it is reached ---- */

struct reporting {
    const char *broker_id;
    const Pb__ReportRootRequest *request;
    char *message;
};

/* Its brokers may be wrong, or lie: the root's auth itself is asked before anything is forgotten.
 */
static bool says_it_is_over(const Pb__ReportRootRequest *request)
{
    return !request->is_attached &&
           (request->code == RL_E_DENIED || request->code == RL_E_UNAUTHENTICATED ||
            request->code == RL_E_NOT_FOUND);
}

static rl_code note(struct rl_db *db, void *context, struct rl_error *err)
{
    struct reporting *r = context;
    const Pb__ReportRootRequest *q = r->request;
    rl_code rc = rl_roots_note_attachment(db, q->root, r->broker_id, q->is_attached, q->code,
                                          r->message, err);
    if (rc == RL_OK && says_it_is_over(q))
        rc = rl_errands_add(db, "state", q->root, err);
    return rc;
}

rl_code rl_control_report_root(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                               const Pb__ReportRootRequest *request, Pb__ReportRootResponse *reply,
                               struct rl_error *err)
{
    (void)reply;
    char *shown = rl_name_printable(request->message);
    struct reporting r = {peer->identity->name, request,
                          rl_sprintf("%.*s", REASON_BYTES_MAX, shown)};
    rl_code rc = rl_store_transaction(auth->store, note, &r, err);
    free(shown);
    free(r.message);
    return rc;
}
