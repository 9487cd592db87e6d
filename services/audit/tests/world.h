/* world: an audit over real TLS on loopback, on a private PostgreSQL with the two roles, beside an
 * auth that decides as it is told. Everything is on one loop. */
#ifndef RL_AUDIT_TESTS_WORLD_H
#define RL_AUDIT_TESTS_WORLD_H

#include "audit.h"
#include "db/insert.h"
#include "db/partitions.h"
#include "db/schema.h"
#include "db/search.h"
#include "event/event.h"
#include "identity/identity.h"
#include "ledger/ledger.h"
#include "testpg.h"

#include <check.h>

#define CLUSTER "main.example.com"
#define ROOT "root.example.com"
#define AGENT_ID "0190c0de-0000-7000-8000-0000000000a1"
#define OTHER_ID "0190c0de-0000-7000-8000-0000000000a2"
#define REPLICA "0190c0de-0000-7000-8000-0000000000b1"
#define REPLICA_2 "0190c0de-0000-7000-8000-0000000000b2"
#define POLICY_KEY_ID "policy-1"
#define PATIENCE_MS 20000
#define DECIDE_AGAIN_MS 2000

enum over { OVER_H2, OVER_GRPC };

struct world {
    struct rl_testpg *pg;
    char *writer_conninfo, *owner_conninfo;
    struct rl_store *writer, *owner;
    struct rl_loop *loop;
    struct rl_workers *workers, *searchers, *recorders;
    struct rl_audit *audit;
    struct rl_rpc_server *h2, *grpc, *auth;
    uint16_t h2_port, grpc_port, auth_port;
    struct rl_rpc_channel *auth_channel; /* audit's, to auth */
    bool auth_is_unknown;
    X509 *ca[4], *root_ca;
    EVP_PKEY *ca_key[4], *root_ca_key;
    struct rl_trust *trust; /* of users also ROOT's */
    EVP_PKEY *policy_key;   /* auth's signer */
    struct rl_tls_server *audit_tls, *auth_tls;

    /* what auth says, and what it was asked */
    struct {
        bool is_allowed, own_only, is_broken;
        unsigned asked;
        char user[64], cluster[64], kind[64], verb[64];
    } decision;
};

struct world *world_create(void);
/* Every table as new, every role as it was. */
void world_reset(struct world *w);
void world_free(struct world **w);

/* A channel to audit as somebody: kind and name, and for services what. */
struct rl_rpc_channel *world_channel(struct world *w, enum over over, enum rl_identity_kind kind,
                                     const char *name, const char *service);

/* As a user of ROOT. */
struct rl_rpc_channel *world_root_channel(struct world *w, const char *name);

/* An event that this agent may write now. */
Pb__Event *agent_event(const char *type);

struct appended {
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
    uint32_t accepted, repeated;
};
/* Events stay the caller's. */
struct appended append(struct rl_rpc_channel *channel, Pb__Event **events, size_t count);
/* And frees the event. */
struct appended append_one(struct rl_rpc_channel *channel, Pb__Event *event);

struct found {
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
    Pb__Event *events[2000];
    size_t count, messages;
    bool more, is_over;
    struct rl_rpc_call *call;
};
void search_start(struct rl_rpc_channel *channel, const Pb__SearchRequest *request,
                  struct found *found);
/* Starts and waits for the end. */
void search(struct world *w, struct rl_rpc_channel *channel, const Pb__SearchRequest *request,
            struct found *found);
void found_clear(struct found *found);

/* Runs one statement as a role; its outcome. */
rl_code run_sql(struct rl_store *store, const char *sql, struct rl_error *err);
int64_t number_of(struct rl_store *store, const char *sql);

#define TURN_UNTIL(world, claim)                                                                   \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn((world)->loop, 20);                                                       \
        }                                                                                          \
    } while (0)

#endif
