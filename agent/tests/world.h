/* world: an agent that has joined a cluster of the test's own: its auth is a double, its policies
 * and statements are signed by the test, its proxy is a certificate that the test holds.
 */
#ifndef AGENT_TESTS_WORLD_H
#define AGENT_TESTS_WORLD_H

#include "admission.h"
#include "bytes/secret.h"
#include "enrol/tests/auth_double.h"
#include "hello.h"
#include "log/log.h"
#include "policy_keeper.h"
#include "tunnel/tunnel.h"

#include <unistd.h>

#define NOW_NS (NOW_S * INT64_C(1000000000))
#define SECOND INT64_C(1000000000)
#define CLUSTER "main" /* the double's */
#define SESSION "0190c0de-0000-4000-8000-00000000005e"
#define JOIN_PATIENCE_MS 20000
#define WORLD_ROOT_KEY "the key of the root"

struct world {
    struct auth_double auth;
    struct agent agent;
    char base[32], dir[64];
    EVP_PKEY *policy_key, *proxy_key;
    X509 *proxy;
    struct rl_buf policy_spki;
    Pb__CaKey ca_key;
    const char *lock_kind, *lock_name; /* that the next policy has; NULL: none */
    const char *root, *root_maps_to;   /* a root cluster, and the role that "access" stands for */
};
static struct world w;

static inline void world_nothing(void *context)
{
    (void)context;
}

static inline void world_trouble(void *context, rl_code code, const char *message)
{
    (void)context;
    (void)code;
    ck_abort_msg("%s", message);
}

/* The identity from the disk, or by joining. */
static inline void world_open(void)
{
    static const char *const kinds[] = {"node"};
    const struct rl_enrol_config config = {
        .loop = w.auth.loop,
        .state_dir = w.dir,
        .auth_address = w.auth.address,
        .ca_pin = w.auth.pin,
        .kind = "agent",
        .agent_kinds = kinds,
        .agent_kind_count = 1,
        .node_name = "node-a",
        .hostname = "host-a",
        .changed = world_nothing,
        .trouble = world_trouble,
        .now_s = double_now_s,
        .now_context = &w.auth,
    };
    bool needs_join = false;
    struct rl_error err;
    w.agent = (struct agent){.loop = w.auth.loop};
    w.agent.settings.data_dir = w.dir;
    snprintf(w.agent.hostname, sizeof w.agent.hostname, "host-a");
    rl_trusted_clock_init(&w.agent.clock, NOW_NS);
    ck_assert_msg(rl_enrol_open(&config, &needs_join, &w.agent.enrol, &err) == RL_OK, "%s",
                  err.message);
    if (needs_join)
        ck_assert_msg(rl_enrol_join(w.agent.enrol, JOIN_TOKEN, JOIN_PATIENCE_MS, &err) == RL_OK,
                      "%s", err.message);
    w.agent.policy = policy_keeper_create(&w.agent);
    w.agent.admission = admission_create(&w.agent);
}

static inline void world_close(void)
{
    admission_free(&w.agent.admission);
    policy_keeper_free(&w.agent.policy);
    rl_enrol_close(&w.agent.enrol);
}

static inline void world_restart(void)
{
    world_close();
    world_open();
}

static inline void world_make(void)
{
    static char key_id[] = "policy-1";
    memset(&w, 0, sizeof w);
    rl_log_setup("test", RL_LOG_ERROR, true);
    snprintf(w.base, sizeof w.base, "/tmp/rl-agent-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.base));
    snprintf(w.dir, sizeof w.dir, "%s/data", w.base);
    double_create(&w.auth);
    w.policy_key = fresh_key();
    rl_buf_init(&w.policy_spki, 1024);
    ck_assert_int_eq(rl_key_to_spki(w.policy_key, &w.policy_spki, NULL), RL_OK);
    pb__ca_key__init(&w.ca_key);
    w.ca_key.id = key_id;
    w.ca_key.public_key = (ProtobufCBinaryData){w.policy_spki.n, w.policy_spki.p};
    w.auth.policy_key = &w.ca_key;
    w.proxy_key = fresh_key();
    w.proxy = authority_issue(&w.auth.services, UUID_B, "proxy", w.proxy_key);
    world_open();
}

static inline void world_destroy(void)
{
    char command[64];
    world_close();
    X509_free(w.proxy);
    EVP_PKEY_free(w.proxy_key);
    EVP_PKEY_free(w.policy_key);
    rl_buf_fini(&w.policy_spki);
    double_destroy(&w.auth);
    snprintf(command, sizeof command, "rm -rf %s", w.base);
    ck_assert_int_eq(system(command), 0);
}

static inline void world_set(struct rl_policy *policy, const char *entry,
                             const ProtobufCMessage *message)
{
    uint8_t packed[512];
    struct rl_error err;
    ck_assert_uint_le(protobuf_c_message_get_packed_size(message), sizeof packed);
    size_t n = protobuf_c_message_pack(message, packed);
    ck_assert_int_eq(rl_policy_set(policy, entry, RL_SPAN(packed, n), &err), RL_OK);
}

/* The root cluster; and a role "guest", by which it is root everywhere. */
static inline void world_add_root(struct rl_policy *policy)
{
    static char remote[] = "access", name[] = "guest", any[] = "*", login[] = "root";
    static uint8_t key[] = WORLD_ROOT_KEY;
    char *locals[] = {(char *)(uintptr_t)w.root_maps_to}, *logins[] = {login}, *values[] = {any};
    Pb__RoleMapping mapping = PB__ROLE_MAPPING__INIT, *mappings[] = {&mapping};
    Pb__CaKey ca = PB__CA_KEY__INIT, *keys[] = {&ca};
    Pb__RootTrust root = PB__ROOT_TRUST__INIT;
    Pb__LabelMatch match = PB__LABEL_MATCH__INIT, *matches[] = {&match};
    Pb__RoleConditions allow = PB__ROLE_CONDITIONS__INIT;
    Pb__RoleSpec spec = PB__ROLE_SPEC__INIT;
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__Role role = PB__ROLE__INIT;
    mapping.remote = remote;
    mapping.local = locals;
    mapping.n_local = 1;
    ca.public_key = (ProtobufCBinaryData){sizeof key - 1, key};
    root.cluster = (char *)(uintptr_t)w.root;
    root.user_ssh_keys = keys;
    root.role_map = mappings;
    root.n_user_ssh_keys = root.n_role_map = 1;
    match.key = any;
    match.values = values;
    match.n_values = 1;
    allow.logins = logins;
    allow.node_labels = matches;
    allow.n_logins = allow.n_node_labels = 1;
    metadata.name = name;
    spec.allow = &allow;
    role.metadata = &metadata;
    role.spec = &spec;
    char *entry = rl_sprintf("root/%s", w.root);
    world_set(policy, entry, &root.base);
    world_set(policy, "role/guest", &role.base);
    free(entry);
}

/* A snapshot of that version by auth. `nonce`: what the agent asked for, or none. */
static inline Pb__PolicyUpdate *world_policy(uint64_t version, struct rl_span nonce)
{
    Pb__PolicyUpdate *update = NULL;
    struct rl_error err;
    struct rl_policy *policy = rl_policy_create();
    if (w.root)
        world_add_root(policy);
    if (w.lock_kind) {
        char id[] = "l", message[] = "lost laptop";
        Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
        Pb__Metadata metadata = PB__METADATA__INIT;
        Pb__Lock lock = PB__LOCK__INIT;
        metadata.name = id;
        spec.target_kind = (char *)(uintptr_t)w.lock_kind;
        spec.target_name = (char *)(uintptr_t)w.lock_name;
        spec.message = message;
        lock.metadata = &metadata;
        lock.spec = &spec;
        world_set(policy, "lock/l", &lock.base);
    }
    ck_assert_msg(rl_policy_seal(policy, NULL, CLUSTER, rl_enrol_id(w.agent.enrol), version, NOW_NS,
                                 nonce, w.policy_key, w.ca_key.id, &update, &err) == RL_OK,
                  "%s", err.message);
    rl_policy_unref(&policy);
    return update;
}

/* What the agent asks for in its hello. */
static inline struct rl_span world_nonce(void)
{
    Pb__Hello hello = PB__HELLO__INIT;
    policy_keeper_fill_hello(w.agent.policy, &hello);
    return RL_SPAN(hello.policy_nonce.data, hello.policy_nonce.len);
}

static inline rl_code world_update(uint64_t version, struct rl_span nonce, struct rl_error *err)
{
    Pb__PolicyUpdate *update = world_policy(version, nonce);
    rl_code rc = policy_keeper_update(w.agent.policy, update, err);
    pb__policy_update__free_unpacked(update, NULL);
    return rc;
}

static inline Pb__SignedStatement *world_statement(int64_t time_ns, uint64_t version)
{
    Pb__SignedStatement *out = NULL;
    ck_assert_int_eq(rl_statement_sign(CLUSTER, time_ns, version, RL_SPAN(NULL, 0), w.policy_key,
                                       w.ca_key.id, &out, NULL),
                     RL_OK);
    return out;
}

static inline rl_code world_hear(int64_t time_ns, uint64_t version, struct rl_error *err)
{
    Pb__SignedStatement *statement = world_statement(time_ns, version);
    rl_code rc = policy_keeper_hear(w.agent.policy, statement, err);
    pb__signed_statement__free_unpacked(statement, NULL);
    return rc;
}

/* A good ticket, for the test to spoil before it is signed. */
struct world_ticket {
    Pb__Ticket ticket;
    char cluster[64], session[64], agent[64], kind[16], address[64], root[64];
    uint8_t nonce[16];
};

static inline void world_ticket_make(struct world_ticket *t)
{
    memset(t, 0, sizeof *t);
    pb__ticket__init(&t->ticket);
    snprintf(t->cluster, sizeof t->cluster, CLUSTER);
    snprintf(t->session, sizeof t->session, SESSION);
    snprintf(t->agent, sizeof t->agent, "%s", rl_enrol_id(w.agent.enrol));
    snprintf(t->kind, sizeof t->kind, "ssh");
    snprintf(t->address, sizeof t->address, "192.0.2.7:1234");
    rl_random(t->nonce, sizeof t->nonce);
    t->ticket.cluster = t->cluster;
    t->ticket.session_id = t->session;
    t->ticket.agent_id = t->agent;
    t->ticket.target_kind = t->kind;
    t->ticket.client_address = t->address;
    t->ticket.root_session_id = t->root;
    t->ticket.time_ns = NOW_NS;
    t->ticket.nonce = (ProtobufCBinaryData){sizeof t->nonce, t->nonce};
}

static inline Pb__SignedTicket *world_sign(const struct world_ticket *t)
{
    Pb__SignedTicket *out = NULL;
    ck_assert_int_eq(rl_ticket_sign(&t->ticket, w.proxy_key, w.proxy, &out, NULL), RL_OK);
    return out;
}

static inline int run_suite(TCase *t, const char *name)
{
    Suite *s = suite_create(name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif
