/* join: what a token allows, and what is recorded. */
#include "fleet/join.h"

#include "authority/issue.h"
#include "credential/token.h"
#include "db/cluster.h"
#include "db/instances.h"
#include "db/labels.h"
#include "db/tokens.h"
#include "fleet/redeem.h"
#include "names/names.h"
#include "record/events.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

/* ---- the request, before anything is looked up ---- */

static bool is_agent(const Pb__JoinRequest *r)
{
    return strcmp(r->kind, "agent") == 0;
}

static bool is_service(const char *kind)
{
    return strcmp(kind, "proxy") == 0 || strcmp(kind, "broker") == 0 || strcmp(kind, "audit") == 0;
}

static rl_code check_kinds(const Pb__JoinRequest *r, struct rl_error *err)
{
    if (!is_agent(r))
        return is_service(r->kind)
                   ? RL_OK
                   : rl_fail(err, RL_E_INVAL, "no instance is of the kind \"%.32s\"", r->kind);
    if (r->n_agent_kinds == 0 || r->n_agent_kinds > 3)
        return rl_fail(err, RL_E_INVAL, "an agent serves node, app or kube");
    for (size_t i = 0; i < r->n_agent_kinds; i++)
        if (strcmp(r->agent_kinds[i], "node") != 0 && strcmp(r->agent_kinds[i], "app") != 0 &&
            strcmp(r->agent_kinds[i], "kube") != 0)
            return rl_fail(err, RL_E_INVAL, "no agent serves \"%.32s\"", r->agent_kinds[i]);
    return RL_OK;
}

static rl_code check_texts(const Pb__JoinRequest *r, struct rl_error *err)
{
    const char *const texts[] = {r->hostname, r->version, r->advertise_address};
    for (size_t i = 0; i < RL_COUNT(texts); i++)
        if (strlen(texts[i]) > RL_JOIN_TEXT_BYTES_MAX)
            return rl_fail(err, RL_E_INVAL, "a name in the request is longer than %d bytes",
                           RL_JOIN_TEXT_BYTES_MAX);
    if (*r->agent_id && !rl_name_is_uuid(r->agent_id))
        return rl_fail(err, RL_E_INVAL, "an agent's id is a UUID");
    if (!*r->node_name)
        return RL_OK;
    if (rl_name_is_uuid(r->node_name))
        return rl_fail(err, RL_E_INVAL, "a node's name can not be a UUID");
    return rl_name_check_node(r->node_name, err);
}

rl_code rl_join_check_labels(Pb__Label *const *labels, size_t count, struct rl_error *err)
{
    if (count > RL_JOIN_LABELS_MAX)
        return rl_fail(err, RL_E_INVAL, "an agent has at most %d labels", RL_JOIN_LABELS_MAX);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        rc = rl_name_check_label(labels[i]->key, labels[i]->value, err);
    return rc;
}

rl_code rl_join_check_proof(struct rl_span spki, const char *context, struct rl_span body,
                            struct rl_span proof, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    rl_code rc = rl_issue_check_keys(spki, RL_SPAN(NULL, 0), err);
    if (rc == RL_OK)
        rc = rl_key_from_spki(spki, &key, err);
    if (rc == RL_OK && rl_key_verify(key, context, body, proof, err) != RL_OK)
        rc = rl_fail(err, RL_E_DENIED, "the request is not signed by the key that it names");
    EVP_PKEY_free(key);
    return rc;
}

static rl_code check_join_keys(const Pb__JoinRequest *r, struct rl_error *err)
{
    struct rl_buf body;
    rl_buf_init(&body, RL_TOKEN_TEXT_BYTES + 4);
    rl_buf_put_string(&body, rl_span_of(r->token));
    rl_code rc = body.failed ? rl_fail(err, RL_E_DENIED, "this is not a join token")
                             : rl_join_check_proof(RL_BINARY(r->tls_public_key), RL_JOIN_CONTEXT,
                                                   rl_buf_span(&body), RL_BINARY(r->proof), err);
    rl_buf_fini(&body);
    if (rc != RL_OK || !is_agent(r))
        return rc;
    EVP_PKEY *key = NULL;
    rc = rl_sshkey_public_parse(RL_BINARY(r->ssh_public_key), &key, err);
    if (rc != RL_OK)
        rl_error_prefix(err, "the SSH host key");
    EVP_PKEY_free(key);
    return rc;
}

rl_code rl_join_check_request(const Pb__JoinRequest *r, struct rl_error *err)
{
    rl_code rc = check_kinds(r, err);
    if (rc == RL_OK)
        rc = check_texts(r, err);
    if (rc == RL_OK)
        rc = rl_join_check_labels(r->labels, r->n_labels, err);
    if (rc == RL_OK)
        rc = rl_issue_check_addresses(r->addresses, r->n_addresses, err);
    if (rc == RL_OK)
        rc = check_join_keys(r, err);
    return rc;
}

/* ---- the token ---- */

struct joining {
    struct rl_auth *auth;
    const struct rl_rpc_peer *peer;
    const Pb__JoinRequest *request;
    const struct rl_snapshot *snapshot;
    Pb__Token *token;
    struct rl_instance *instance;
    int64_t now_ns;
    bool is_new, got_name;
    bool is_again; /* the answer of its first time was lost */
};

static rl_code check_types(const Pb__Token *token, const Pb__JoinRequest *r, struct rl_error *err)
{
    rl_code rc = is_agent(r) ? RL_OK : rl_redeem_check_type(token, r->kind, err);
    for (size_t i = 0; rc == RL_OK && is_agent(r) && i < r->n_agent_kinds; i++)
        rc = rl_redeem_check_type(token, r->agent_kinds[i], err);
    return rc;
}

/* An answer can be lost on its way, and the token be spent: whoever asks again with the same token
 * and the same key, which nobody else has, gets the same answer. */
static rl_code find_again(struct rl_db *db, struct joining *j, struct rl_error *err)
{
    rl_instance_free(&j->instance);
    j->is_again = false;
    if (*j->request->agent_id)
        return RL_OK;
    rl_code rc = rl_instances_find_joined(db, j->token->metadata->name,
                                          RL_BINARY(j->request->tls_public_key), RL_JOIN_AGAIN_S,
                                          &j->instance, err);
    j->is_again = rc == RL_OK;
    return rc == RL_E_NOT_FOUND ? RL_OK : rc;
}

static rl_code take_token(struct rl_db *db, struct joining *j, struct rl_error *err)
{
    if (j->token)
        pb__token__free_unpacked(j->token, NULL);
    j->token = NULL;
    rl_code rc = rl_redeem_find(db, j->request->token, &j->token, err);
    if (rc == RL_OK)
        rc = find_again(db, j, err);
    if (rc == RL_OK)
        rc = rl_redeem_check_term(j->token, j->is_again, j->now_ns, err);
    if (rc == RL_OK)
        rc = check_types(j->token, j->request, err);
    if (rc == RL_OK)
        rc = rl_redeem_check_name(j->token, j->request->node_name, err);
    if (rc == RL_OK && !j->is_again)
        rc = rl_tokens_use(db, j->token->metadata->name, err);
    return rc;
}

/* ---- the record ---- */

static void replace(char **field, const char *text)
{
    free(*field);
    *field = rl_strdup(text);
}

static void replace_labels(Pb__Label ***to, size_t *count, Pb__Label *const *from, size_t n)
{
    rl_labels_free(to, count);
    for (size_t i = 0; i < n; i++)
        rl_labels_set(to, count, from[i]->key, from[i]->value);
}

static void fill_instance(const struct joining *j, struct rl_instance *i)
{
    const Pb__JoinRequest *r = j->request;
    replace(&i->kind, r->kind);
    if (is_agent(r) && (*r->node_name || j->is_new))
        replace(&i->name, r->node_name);
    replace(&i->hostname, r->hostname);
    replace(&i->version, r->version);
    replace(&i->address, r->advertise_address);
    replace(&i->mode, "tunnel");
    replace(&i->peer_address, j->peer->address);
    replace(&i->token_id, j->token->metadata->name);
    while (i->agent_kind_count)
        free(i->agent_kinds[--i->agent_kind_count]);
    for (size_t k = 0; is_agent(r) && k < r->n_agent_kinds; k++)
        rl_message_append(&i->agent_kinds, &i->agent_kind_count, rl_strdup(r->agent_kinds[k]));
    rl_buf_clear(&i->tls_key);
    rl_buf_put_span(&i->tls_key, RL_BINARY(r->tls_public_key));
    rl_buf_clear(&i->previous_tls_key);
    rl_buf_clear(&i->ssh_key);
    if (is_agent(r))
        rl_buf_put_span(&i->ssh_key, RL_BINARY(r->ssh_public_key));
    i->unprivileged = r->unprivileged;
    i->generation++;
    replace_labels(&i->own_labels, &i->own_label_count, r->labels, r->n_labels);
    replace_labels(&i->token_labels, &i->token_label_count, j->token->spec->labels,
                   j->token->spec->n_labels);
}

/* Under its old id comes only who still has the key of it. */
static rl_code check_returning(const struct rl_instance *i, const Pb__JoinRequest *r,
                               struct rl_error *err)
{
    struct rl_span key = RL_BINARY(r->tls_public_key);
    if (strcmp(i->kind, r->kind) != 0)
        return rl_fail(err, RL_E_DENIED, "%s is a %s, not a %s", i->id, i->kind, r->kind);
    if (!rl_span_equal(key, rl_buf_span(&i->tls_key)) &&
        !rl_span_equal(key, rl_buf_span(&i->previous_tls_key)))
        return rl_fail(err, RL_E_DENIED,
                       "%s joined before with another key; join without the old data directory to "
                       "get a new id",
                       i->id);
    return RL_OK;
}

static rl_code find_or_make(struct rl_db *db, struct joining *j, struct rl_error *err)
{
    j->is_new = !j->is_again;
    if (j->is_again)
        return check_returning(j->instance, j->request, err);
    if (*j->request->agent_id) {
        rl_code rc = rl_instances_find(db, j->request->agent_id, true, &j->instance, err);
        if (rc == RL_OK) {
            j->is_new = false;
            return check_returning(j->instance, j->request, err);
        }
        if (rc != RL_E_NOT_FOUND)
            return rc;
    }
    char id[RL_UUID_TEXT_BYTES];
    rl_uuid7(id);
    j->instance = rl_instance_create();
    replace(&j->instance->id, id);
    return RL_OK;
}

static rl_code record(struct rl_db *db, void *context, struct rl_error *err)
{
    struct joining *j = context;
    rl_code rc = rl_db_now(db, &j->now_ns, err);
    if (rc == RL_OK)
        rc = take_token(db, j, err);
    if (rc == RL_OK)
        rc = find_or_make(db, j, err);
    if (rc == RL_OK)
        rc = rl_instance_check_locks(j->snapshot, j->instance->id, j->request->node_name, j->now_ns,
                                     err);
    if (rc != RL_OK)
        return rc;
    fill_instance(j, j->instance);
    return j->is_new ? rl_instances_insert(db, j->instance, &j->got_name, err)
                     : rl_instances_update(db, j->instance, &j->got_name, err);
}

/* ---- telling ---- */

static void tell(struct joining *j, rl_code rc, const struct rl_error *err)
{
    const struct rl_auth_metrics *m = &j->auth->metrics;
    const char *outcome = rc == RL_OK ? "success" : "denied";
    rl_metric_add(rc == RL_OK ? m->joins_granted : m->joins_refused, 1);
    if (j->token) {
        Pb__Event *used = rl_auth_event(j->auth, "token.use", outcome, j->peer);
        rl_auth_event_resource(used, "token", j->token->metadata->name, "");
        if (rc != RL_OK)
            rl_event_set(&used->reason, err->message);
        rl_auth_tell(j->auth, &used);
    }
    Pb__Event *joined = rl_auth_event(j->auth, "instance.join", outcome, j->peer);
    rl_auth_event_resource(joined, is_agent(j->request) ? "node" : j->request->kind,
                           rc == RL_OK ? j->instance->id : j->request->agent_id,
                           rc == RL_OK ? j->instance->name : j->request->node_name);
    if (rc != RL_OK)
        rl_event_set(&joined->reason, err->message);
    else if (*j->request->node_name && !j->got_name)
        rl_event_detail(joined, "name_taken", j->request->node_name);
    if (rc == RL_OK && j->is_again)
        rl_event_detail(joined, "again", "with the same key: an answer was lost");
    rl_auth_tell(j->auth, &joined);
}

static void explain(const struct joining *j, Pb__JoinResponse *reply)
{
    if (!is_agent(j->request) || !*j->request->node_name || j->got_name)
        return;
    char *text =
        rl_sprintf("the name %s is taken; joined as %s", j->request->node_name, j->instance->id);
    rl_message_text(&reply->message, text);
    free(text);
}

rl_code rl_auth_join(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__JoinRequest *request, Pb__JoinResponse *reply, struct rl_error *err)
{
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_join_check_request(request, err);
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct joining j = {.auth = auth, .peer = peer, .request = request, .snapshot = snapshot};
    rc = rl_store_transaction(auth->store, record, &j, err);
    if (rc == RL_OK)
        rc = rl_issue_instance(snapshot, auth->cluster, j.instance, j.now_ns, request->addresses,
                               request->n_addresses, reply, err);
    if (rc == RL_OK)
        explain(&j, reply);
    if (rc == RL_OK || rc == RL_E_DENIED)
        tell(&j, rc, err);
    if (j.token)
        pb__token__free_unpacked(j.token, NULL);
    rl_instance_free(&j.instance);
    rl_snapshot_unref(&snapshot);
    return rc;
}
