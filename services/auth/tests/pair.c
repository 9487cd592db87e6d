#include "pair.h"

#include "admin/admin.h"
#include "clock/clock.h"
#include "clusters/errands.h"
#include "credential/token.h"
#include "process.h"
#include "services/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side root, leaf;
char root_address[64];

static struct process program;
static char leaf_name[] = LEAF;

void pair_use(struct side *side)
{
    auth = side->auth;
}

static void open_side(struct side *side, char *cluster)
{
    side->settings = *fixture_settings();
    side->settings.cluster = cluster;
    side->key_file = rl_sprintf("%s/%s.key", fixture_directory, cluster);
    side->database = rl_strdup(fixture_copy_cluster(cluster, side->key_file));
    side->settings.database = side->database;
    side->settings.key_file = side->key_file;
    ok(rl_auth_open(&side->settings, &side->auth, &err));
    ok(rl_auth_start(side->auth, &err));
    side->auth->events = rl_auth_events_create(NULL, NULL);
}

void pair_set_up(void)
{
    fixture_set_up();
    process_start(&program, fixture_settings()->database, fixture_settings()->key_file,
                  process_free_port());
    root = (struct side){.auth = auth};
    open_side(&leaf, leaf_name);
    process_wait_serving(&program);
    snprintf(root_address, sizeof root_address, "localhost:%u", program.port);
    pair_use(&leaf);
    party_admin(&leaf.admin);
    pair_use(&root);
    party_admin(&root.admin);
}

void pair_tear_down(void)
{
    ck_assert_int_eq(process_end(&program), 0);
    party_fini(&root.admin);
    party_fini(&leaf.admin);
    rl_auth_events_free(&leaf.auth->events, 0);
    rl_auth_close(&leaf.auth);
    free(leaf.database);
    free(leaf.key_file);
    pair_use(&root);
    fixture_tear_down();
}

/* ---- the database ---- */

struct statement {
    const char *sql;
    long number;
};

static rl_code run(struct rl_db *db, void *context, struct rl_error *error)
{
    struct statement *s = context;
    struct rl_rows *rows = NULL;
    rl_code rc = rl_query_params(db, s->sql, NULL, 0, &rows, error);
    if (rc == RL_OK && rl_rows_count(rows))
        s->number = (long)rl_row_int(rows, 0, 0);
    rl_rows_free(&rows);
    return rc;
}

void pair_sql(struct side *side, const char *sql)
{
    struct statement s = {sql, 0};
    ok(rl_store_transaction(side->auth->store, run, &s, &err));
}

long pair_count(struct side *side, const char *sql)
{
    struct statement s = {sql, 0};
    ok(rl_store_transaction(side->auth->store, run, &s, &err));
    return s.number;
}

struct rl_snapshot *pair_snapshot(struct side *side)
{
    struct rl_snapshot *snapshot = NULL;
    ok(rl_snapshots_current(side->auth->snapshots, &snapshot, &err));
    return snapshot;
}

/* ---- trust ---- */

char *pair_token(const char *type)
{
    struct rl_snapshot *snapshot = pair_snapshot(&root);
    pair_use(&root);
    char *secret = fixture_token(type, 1);
    char *text = rl_sprintf("%s@%s", secret, snapshot->authorities->ca_pin);
    rl_token_free(&secret);
    rl_snapshot_unref(&snapshot);
    return text;
}

rl_code pair_trust(const char *name, const char *token, bool is_enabled, bool replace,
                   const char *remote, const char *local)
{
    Pb__RoleMapping mapping = PB__ROLE_MAPPING__INIT, *map[] = {&mapping};
    Pb__TrustedClusterSpec spec = PB__TRUSTED_CLUSTER_SPEC__INIT;
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__TrustedCluster document = PB__TRUSTED_CLUSTER__INIT;
    INIT_REPLY(resource, Resource, resource);
    INIT_REPLY(request, PutResourceRequest, put_resource_request);
    INIT_REPLY(reply, PutResourceResponse, put_resource_response);
    char *its_local = rl_strdup(local), *its_name = rl_strdup(name),
         *its_token = rl_strdup(token ? token : "");
    mapping.remote = rl_strdup(remote);
    mapping.local = &its_local;
    mapping.n_local = 1;
    metadata.name = its_name;
    spec.enabled = is_enabled;
    spec.token = its_token;
    spec.proxy = root_address;
    spec.role_map = map;
    spec.n_role_map = 1;
    document.metadata = &metadata;
    document.spec = &spec;
    resource.kind_case = PB__RESOURCE__KIND_TRUSTED_CLUSTER;
    resource.trusted_cluster = &document;
    request.resource = &resource;
    request.replace = replace;
    rl_code rc = rl_admin_put(leaf.auth, &leaf.admin.peer, &request, &reply, &err);
    fixture_clear(&reply.base);
    free(mapping.remote);
    free(its_local);
    free(its_name);
    free(its_token);
    return rc;
}

void pair_establish(void)
{
    char *token = pair_token("trusted_cluster");
    ok(pair_trust(ROOT, token, true, false, "access", "access"));
    free(token);
}

rl_code pair_remove(struct side *side, const char *kind, const char *name)
{
    INIT_REPLY(request, DeleteResourceRequest, delete_resource_request);
    INIT_REPLY(reply, DeleteResourceResponse, delete_resource_response);
    request.kind = rl_strdup(kind);
    request.name = rl_strdup(name);
    rl_code rc = rl_admin_delete(side->auth, &side->admin.peer, &request, &reply, &err);
    free(request.kind);
    free(request.name);
    return rc;
}

Pb__GetResourcesResponse *pair_get(struct side *side, const char *kind)
{
    Pb__GetResourcesResponse *reply = rl_message_create(&pb__get_resources_response__descriptor);
    INIT_REPLY(request, GetResourcesRequest, get_resources_request);
    request.kind = rl_strdup(kind);
    ok(rl_admin_get(side->auth, &side->admin.peer, &request, reply, &err));
    free(request.kind);
    return reply;
}

void pair_free(Pb__GetResourcesResponse *list)
{
    pb__get_resources_response__free_unpacked(list, NULL);
}

void pair_check_event(struct side *side, const char *type, const char *kind, const char *name)
{
    pair_use(side);
    Pb__Event *event = fixture_event(type);
    ck_assert_str_eq(event->outcome, "success");
    ck_assert_str_eq(event->resource_kind, kind);
    ck_assert_str_eq(event->resource_name, name);
    rl_event_free(&event);
}

/* ---- the root's word, brought by brokers ---- */

void pair_ask_policy(const char *id, uint64_t version, struct rl_span sha256, struct rl_span nonce,
                     Pb__PolicyUpdate *update)
{
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    INIT_REPLY(request, PolicyForRequest, policy_for_request);
    request.agent_id = rl_strdup(id);
    request.held_version = version;
    rl_message_bytes(&request.held_sha256, sha256);
    rl_message_bytes(&request.nonce, nonce);
    ok(rl_control_policy_for(root.auth, &peer, &request, update, &err));
    free(request.agent_id);
    free(request.held_sha256.data);
    free(request.nonce.data);
}

rl_code pair_take_policy(Pb__PolicyUpdate *update, Pb__TakeRootPolicyResponse *reply)
{
    static char name[] = ROOT;
    struct rl_rpc_peer peer = {.address = "192.0.2.9:1"};
    INIT_REPLY(request, TakeRootPolicyRequest, take_root_policy_request);
    request.root = name;
    request.update = update;
    return rl_control_take_root_policy(leaf.auth, &peer, &request, reply, &err);
}

/* As the brokers of both do. */
void pair_bring_policy(void)
{
    struct rl_snapshot *snapshot = pair_snapshot(&leaf);
    const Pb__PeerCluster *peer = snapshot->clusters[0];
    INIT_REPLY(update, PolicyUpdate, policy_update);
    INIT_REPLY(reply, TakeRootPolicyResponse, take_root_policy_response);
    pair_ask_policy("cluster/" LEAF, peer->policy_version, RL_BINARY(peer->policy_sha256),
                    RL_BINARY(peer->policy_nonce), &update);
    ok(pair_take_policy(&update, &reply));
    ck_assert_uint_gt(reply.version, 0);
    ck_assert_uint_eq(reply.sha256.len, 32);
    fixture_clear(&update.base);
    fixture_clear(&reply.base);
    rl_snapshot_unref(&snapshot);
}

/* ---- errands ---- */

long pair_errands(void)
{
    return pair_count(&leaf, "SELECT count(*) FROM errands");
}

/* The root's listener believes a new leaf a moment after it has come. */
void pair_run_errands(void)
{
    int64_t until_s = rl_clock_wall_s() + 20;
    do {
        pair_sql(&leaf, "UPDATE errands SET next = now()");
        ok(rl_errands_run(leaf.auth, NULL, &err));
    } while (pair_errands() && rl_clock_wall_s() < until_s);
    ck_assert_int_eq(pair_errands(), 0);
}

int pair_main(const char *name, TCase *tcase)
{
    fixture_other_cluster = LEAF;
    return fixture_main(name, tcase);
}
