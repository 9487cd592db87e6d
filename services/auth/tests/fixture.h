/* fixture: a cluster in a database of its own, and parties of it that call auth's answers directly:
 * no sockets, no threads. One PostgreSQL serves the whole test program. */
#ifndef RL_AUTH_TESTS_FIXTURE_H
#define RL_AUTH_TESTS_FIXTURE_H

#include "auth.h"
#include "record/events.h"
#include "remoteler/v1/control.pb-c.h"

#include <check.h>

#define CLUSTER "dev.example"

extern struct rl_auth *auth;
extern struct rl_error err;
extern char fixture_directory[64];

/** Before fixture_main(): another cluster that is made once, for copies. */
extern const char *fixture_other_cluster;
/** A connection string of a new copy; its key goes to this file. Borrowed until the next database.
 */
const char *fixture_copy_cluster(const char *name, const char *key_file);
/** Around each test: a cluster in a database of its own. */
void fixture_set_up(void);
void fixture_tear_down(void);
/** The settings of the test's auth; a test may change them and open another. */
struct rl_auth_settings *fixture_settings(void);
/** A connection string of a new, empty database. */
const char *fixture_new_database(void);
/** PostgreSQL itself, stopped and started. */
void fixture_stop_database(void);
void fixture_start_database(void);
/** Statements without answers, past auth. */
void fixture_sql(const char *sql);
/** The first number of an answer. */
long fixture_count(const char *sql);

/** Runs the suite; for main(). */
int fixture_main(const char *name, TCase *tcase);

#define ok(call) ck_assert_msg((call) == RL_OK, "%s", err.message)
#define refused(call, want) ck_assert_int_eq((call), (want))

/* ---- parties ---- */

struct party {
    struct rl_identity *identity;
    EVP_PKEY *tls_key, *ssh_key;
    struct rl_buf tls_spki, ssh_blob;
    struct rl_rpc_peer peer;
};
/** Keys, and an address; nobody yet. */
void party_init(struct party *party);
void party_fini(struct party *party);
/** Becomes whom the chain names; asserts that auth's own authorities say so. */
void party_become(struct party *party, const ProtobufCBinaryData *chain, size_t count);
/** It has lost what it was told; its keys are what they were. */
void party_forget_identity(struct party *party);
/** The bootstrapped administrator. */
void party_admin(struct party *party);

/** A user who signed up, with `logins` as the trait. `secret` gets the one-time secret. */
void fixture_add_user(const char *name, const char *role, const char *login, struct rl_buf *secret);
extern const char fixture_password[];
/** A code of the step that is `steps` from now. */
void fixture_code(const struct rl_buf *secret, int steps, char code[7]);
/** Logs in; the party becomes the user. */
rl_code fixture_login(struct party *party, const char *user, const char *password, const char *code,
                      Pb__LoginResponse *reply);

/** A token of one type; by rl_token_free(). */
char *fixture_token(const char *type, uint32_t uses);
/** Joins with a token as an agent of the kind node (or as the service `kind`); on success the party
 * becomes it. */
rl_code fixture_join(struct party *party, const char *kind, const char *name, const char *token,
                     Pb__JoinResponse *reply);
/** Asks for a certificate of the fresh key, by the certificate that the party has. */
rl_code fixture_renew(struct party *party, EVP_PKEY *fresh, uint64_t generation,
                      Pb__JoinResponse *reply);
/** An agent's hello as its broker reports it: signed by the node's key. */
struct fixture_report {
    Pb__AttachmentReport report;
    Pb__SignedHello hello;
    struct rl_buf packed, signature;
};
void fixture_report_make(struct fixture_report *out, struct party *node, struct party *broker,
                         uint64_t epoch, Pb__Inventory *inventory);
/** And it says that it holds this policy. */
void fixture_report_holding(struct fixture_report *out, struct party *node, struct party *broker,
                            uint64_t epoch, Pb__Inventory *inventory, uint64_t policy_version,
                            struct rl_span policy_sha256);
void fixture_report_fini(struct fixture_report *report);
/** A node that joined and is attached to the broker. */
void fixture_attach(struct party *node, struct party *broker, uint64_t epoch,
                    Pb__ReportAttachmentsResponse *reply);
void fixture_heartbeat(struct party *service);
uint64_t fixture_next_epoch(struct party *broker, const char *agent_id);

/** What a user sees, as the version before asked for it: nodes, not rows. The reply is filled on
 * success only; by fixture_clear(). */
rl_code fixture_list_nodes(const struct rl_rpc_peer *peer, Pb__ListNodesRequest *request,
                           Pb__ListNodesResponse *reply);

/** The next event of this type among those that wait; fails when there is none. */
Pb__Event *fixture_event(const char *type);

#define INIT_REPLY(name, Type, type)                                                               \
    Pb__##Type name;                                                                               \
    pb__##type##__init(&name)
/** Frees what an answer filled in. */
void fixture_clear(ProtobufCMessage *message);

#endif
