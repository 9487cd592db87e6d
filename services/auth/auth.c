/* auth: the shared state, and how every unary call is answered. */
#include "auth.h"

#include "db/cluster.h"
#include "db/schema.h"
#include "dial/http_proxy.h"
#include "inventory/inventory.h"
#include "log/log.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENT_MS 10000

rl_code rl_auth_open(const struct rl_auth_settings *settings, struct rl_auth **out,
                     struct rl_error *err)
{
    struct rl_auth *auth = rl_alloc(sizeof *auth);
    auth->settings = settings;
    rl_uuid7(auth->id);
    size_t workers = settings->workers > 0 ? (size_t)settings->workers : 1;
    struct rl_store_options options = {
        .conninfo = settings->database,
        .schema = RL_AUTH_SCHEMA,
        .application = "remoteler-auth",
        .connections = workers + RL_AUTH_CONTROL_WORKERS + RL_AUTH_PASSWORD_WORKERS,
        .statement_ms = STATEMENT_MS,
    };
    rl_code rc = rl_store_open(&options, &auth->store, err);
    if (rc == RL_OK)
        *out = auth;
    else
        rl_auth_close(&auth);
    return rc;
}

static rl_code read_name(struct rl_db *db, void *context, struct rl_error *err)
{
    char **name = context;
    free(*name);
    *name = NULL;
    return rl_cluster_name(db, name, err);
}

static rl_code check_cluster(const struct rl_auth *auth, struct rl_error *err)
{
    const char *wanted = auth->settings->cluster;
    if (wanted && strcmp(wanted, auth->cluster) != 0)
        return rl_fail(err, RL_E_PRECONDITION,
                       "this database is of the cluster %s, not of %s: check --database and "
                       "--cluster",
                       auth->cluster, wanted);
    return RL_OK;
}

rl_code rl_auth_start(struct rl_auth *auth, struct rl_error *err)
{
    rl_code rc = rl_store_ping(auth->store, err);
    if (rc == RL_OK)
        rc = rl_store_check_version(auth->store, rl_auth_migrations, rl_auth_migration_count, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_name, &auth->cluster, err);
    if (rc == RL_OK)
        rc = check_cluster(auth, err);
    if (rc == RL_OK && !auth->wrap)
        rc = rl_wrap_key_load(auth->settings->key_file, &auth->wrap, err);
    if (rc != RL_OK)
        return rc;
    if (!auth->snapshots)
        auth->snapshots = rl_snapshots_create(auth->store, auth->cluster, auth->wrap);
    if (!auth->inventory)
        auth->inventory = rl_inventory_create(auth->store);
    struct rl_snapshot *first = NULL;
    rc = rl_snapshots_current(auth->snapshots, &first, err);
    rl_snapshot_unref(&first);
    return rc;
}

void rl_auth_close(struct rl_auth **auth)
{
    struct rl_auth *a = *auth;
    if (!a)
        return;
    rl_http_proxy_free(&a->http_proxy);
    rl_snapshots_free(&a->snapshots);
    rl_inventory_free(&a->inventory);
    rl_wrap_key_free(&a->wrap);
    if (a->store)
        rl_store_close(&a->store);
    free(a->cluster);
    free(a);
    *auth = NULL;
}

/* ---- answering ---- */

/* What is our own fault is for our log: whoever called may be anyone. */
static void hide_fault(struct rl_rpc_call *call, const ProtobufCMessage *request,
                       struct rl_error *err)
{
    bool is_fault =
        err->code == RL_E_INTERNAL || err->code == RL_E_UNKNOWN || err->code == RL_E_DATA_LOSS;
    if (!is_fault && err->code != RL_E_UNAVAILABLE)
        return;
    char *caller = rl_identity_describe(rl_rpc_peer(call)->identity);
    rl_log_error("a call failed", RL_TEXT("request", request->descriptor->short_name),
                 RL_TEXT("code", rl_code_name(err->code)), RL_TEXT("error", err->message),
                 RL_TEXT("caller", caller), RL_TEXT("peer", rl_rpc_peer(call)->address));
    free(caller);
    if (is_fault)
        rl_fail(err, RL_E_INTERNAL, "auth failed; its log says why");
    else
        rl_fail(err, RL_E_UNAVAILABLE, "auth can not reach its database; try again");
}

void rl_answer(struct rl_rpc_call *call, const ProtobufCMessage *request, void *auth,
               const ProtobufCMessageDescriptor *descriptor, rl_answer_fn fn)
{
    ProtobufCMessage *reply = rl_message_create(descriptor);
    struct rl_error err = {RL_E_INTERNAL, "no reason was given"};
    rl_code rc = fn(auth, rl_rpc_peer(call), request, reply, &err);
    if (rc == RL_OK) {
        rl_rpc_reply(call, reply);
    } else {
        hide_fault(call, request, &err);
        rl_rpc_fail(call, &err);
    }
    protobuf_c_message_free_unpacked(reply, NULL);
}

void rl_answer_packed(struct rl_rpc_call *call, const ProtobufCMessage *request, void *auth,
                      rl_answer_packed_fn fn)
{
    struct rl_buf reply;
    struct rl_error err = {RL_E_INTERNAL, "no reason was given"};
    rl_buf_init(&reply, RL_RPC_MESSAGE_BYTES_MAX);
    if (fn(auth, rl_rpc_peer(call), request, &reply, &err) == RL_OK) {
        rl_rpc_reply_packed(call, rl_buf_span(&reply));
    } else {
        hide_fault(call, request, &err);
        rl_rpc_fail(call, &err);
    }
    rl_buf_fini(&reply);
}

/* ---- on the password workers ---- */

struct slow_answer {
    struct rl_rpc_call *call;
    const ProtobufCMessage *request; /* lives until the call is answered */
    void *auth;
    const ProtobufCMessageDescriptor *reply;
    rl_answer_fn fn;
};

static void run_slow_answer(void *context)
{
    struct slow_answer *a = context;
    rl_answer(a->call, a->request, a->auth, a->reply, a->fn);
    free(a);
}

void rl_answer_slowly(struct rl_rpc_call *call, const ProtobufCMessage *request, void *context,
                      const ProtobufCMessageDescriptor *reply, rl_answer_fn fn)
{
    struct rl_auth *auth = context;
    struct slow_answer *a = rl_alloc(sizeof *a);
    *a = (struct slow_answer){call, request, auth, reply, fn};
    if (rl_workers_submit(auth->password_workers, run_slow_answer, a, NULL) == RL_OK)
        return;
    struct rl_error err;
    free(a);
    rl_fail(&err, RL_E_EXHAUSTED, "too many log in at this moment; try again");
    rl_rpc_fail(call, &err);
}
