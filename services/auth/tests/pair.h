/* pair: two clusters, a root and a leaf. Both can be called directly; the root's auth runs as a
 * program too, so that the leaf's reaches it as it would from another network. */
#ifndef RL_AUTH_TESTS_PAIR_H
#define RL_AUTH_TESTS_PAIR_H

#include "fixture.h"

#include <string.h>

#define ROOT CLUSTER
#define LEAF "leaf.example"

struct side {
    struct rl_auth *auth;
    struct rl_auth_settings settings;
    struct party admin;
    char *database, *key_file;
};
extern struct side root, leaf;
extern char root_address[64]; /* of the root's auth, where its proxy would be */

void pair_set_up(void);
void pair_tear_down(void);
/** The fixture's own functions are about this side from now on. */
void pair_use(struct side *side);
/** Statements past auth. */
void pair_sql(struct side *side, const char *sql);
long pair_count(struct side *side, const char *sql);
struct rl_snapshot *pair_snapshot(struct side *side);

/** A token of the root, as SECRET@PIN. */
char *pair_token(const char *type);
/** Writes the trusted_cluster in the leaf. `token` NULL: none is said. */
rl_code pair_trust(const char *name, const char *token, bool is_enabled, bool replace,
                   const char *remote, const char *local);
/** With a token of its own and access to access; asserts that it works. */
void pair_establish(void);
rl_code pair_remove(struct side *side, const char *kind, const char *name);
/** All documents of a kind, as the administrator reads them. */
Pb__GetResourcesResponse *pair_get(struct side *side, const char *kind);
void pair_free(Pb__GetResourcesResponse *list);
/** The next event of this type is a success about this. */
void pair_check_event(struct side *side, const char *type, const char *kind, const char *name);

/** The root's policy for the leaf, and what the leaf's auth says to one. */
void pair_ask_policy(const char *id, uint64_t version, struct rl_span sha256, struct rl_span nonce,
                     Pb__PolicyUpdate *update);
rl_code pair_take_policy(Pb__PolicyUpdate *update, Pb__TakeRootPolicyResponse *reply);
/** Both, as the brokers of root and leaf do. */
void pair_bring_policy(void);

long pair_errands(void);
/** Until the root has heard all of them: its listener believes a new leaf a moment after it came.
 */
void pair_run_errands(void);

/** For main(): as fixture_main(). */
int pair_main(const char *name, TCase *tcase);

#define refused_with(call, want, part)                                                             \
    do {                                                                                           \
        refused(call, want);                                                                       \
        ck_assert_msg(strstr(err.message, part) != NULL, "%s", err.message);                       \
    } while (0)

#endif
