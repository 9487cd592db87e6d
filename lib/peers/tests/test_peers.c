#include "peers/peers.h"

#include "identity/tests/authority.h"

#include <stdlib.h>

#define ROOT "root.example"
#define LEAF "leaf.example"

/* The authorities of a cluster, as auth tells them. */
struct cluster {
    const char *name;
    struct authority all[3]; /* services, hosts, users */
    struct rl_buf ders[3];
    ProtobufCBinaryData packed[3];
    Pb__TrustBundle bundle;
    Pb__PeerCluster peer;
};

static struct cluster own, root, leaf;
static EVP_PKEY *key;

static void make_cluster(struct cluster *c, const char *name, bool is_root)
{
    static const enum rl_identity_kind kinds[] = {RL_IDENTITY_SERVICE, RL_IDENTITY_AGENT,
                                                  RL_IDENTITY_USER};
    c->name = name;
    for (size_t i = 0; i < RL_COUNT(kinds); i++) {
        c->all[i] = authority_make(kinds[i], name);
        rl_buf_init(&c->ders[i], 65536);
        ck_assert_int_eq(rl_x509_to_der(c->all[i].ca, &c->ders[i], NULL), RL_OK);
        c->packed[i] = (ProtobufCBinaryData){c->ders[i].n, c->ders[i].p};
    }
    pb__trust_bundle__init(&c->bundle);
    pb__peer_cluster__init(&c->peer);
    c->bundle.cluster = (char *)(uintptr_t)name;
    c->bundle.service_cas = &c->packed[0];
    c->bundle.host_cas = &c->packed[1];
    c->bundle.user_cas = &c->packed[2];
    c->bundle.n_service_cas = c->bundle.n_host_cas = c->bundle.n_user_cas = 1;
    c->peer.name = (char *)(uintptr_t)name;
    c->peer.is_root = is_root;
    c->peer.trust = &c->bundle;
}

static void free_cluster(struct cluster *c)
{
    for (size_t i = 0; i < RL_COUNT(c->all); i++) {
        authority_free(&c->all[i]);
        rl_buf_fini(&c->ders[i]);
    }
}

static void set_up(void)
{
    make_cluster(&own, "main", false);
    make_cluster(&root, ROOT, true);
    make_cluster(&leaf, LEAF, false);
    key = fresh_key();
}

static void tear_down(void)
{
    free_cluster(&own);
    free_cluster(&root);
    free_cluster(&leaf);
    EVP_PKEY_free(key);
}

static struct rl_trust *own_trust(void)
{
    struct rl_trust *trust = rl_trust_create("main");
    for (size_t i = 0; i < RL_COUNT(own.all); i++)
        ck_assert_int_eq(authority_trust(trust, own.all[i].kind, "main", own.all[i].ca, NULL),
                         RL_OK);
    return trust;
}

/* Who shows a certificate of this authority. NULL: nobody. */
static struct rl_identity *known(const struct rl_trust *trust, const struct authority *by)
{
    const char *service = by->kind == RL_IDENTITY_SERVICE ? "broker" : NULL;
    X509 *leaf_certificate =
        authority_issue(by, by->kind == RL_IDENTITY_USER ? "alice" : UUID_A, service, key);
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct rl_identity *identity = NULL;
    sk_X509_push(chain, leaf_certificate);
    rl_identity_check(trust, chain, false, NOW_S, &identity, NULL);
    sk_X509_free(chain);
    X509_free(leaf_certificate);
    return identity;
}

static bool is_known(const struct rl_trust *trust, const struct authority *by)
{
    struct rl_identity *identity = known(trust, by);
    bool is = identity != NULL;
    rl_identity_unref(&identity);
    return is;
}

START_TEST(believes_a_roots_users_and_a_leafs_services_and_nobody_else_of_theirs)
{
    Pb__PeerCluster *peers[] = {&root.peer, &leaf.peer};
    struct rl_trust *trust = own_trust();
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 2), 0);
    for (size_t i = 0; i < RL_COUNT(own.all); i++)
        ck_assert(is_known(trust, &own.all[i]));
    ck_assert(is_known(trust, &root.all[2]));
    ck_assert(!is_known(trust, &root.all[0])); /* a root's services are nobody in a leaf */
    ck_assert(!is_known(trust, &root.all[1]));
    ck_assert(is_known(trust, &leaf.all[0]));
    ck_assert(!is_known(trust, &leaf.all[2])); /* a leaf's users are nobody in its root */
    ck_assert(!is_known(trust, &leaf.all[1]));
    rl_trust_unref(&trust);
}
END_TEST

START_TEST(leaves_out_what_can_not_be_a_peers)
{
    struct rl_trust *trust = own_trust();
    Pb__PeerCluster *peers[] = {&root.peer};
    char ours[] = "main", other[] = "other.example";
    root.bundle.cluster = other; /* not what it is called */
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 1), 1);
    root.bundle.cluster = root.peer.name = ours; /* called as we are */
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 1), 1);
    root.bundle.cluster = root.peer.name = other; /* its authority is of another cluster */
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 1), 1);
    root.bundle.cluster = root.peer.name = (char *)(uintptr_t)ROOT;
    root.bundle.user_cas = &own.packed[2]; /* it shows our own */
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 1), 1);
    root.bundle.user_cas = &root.packed[1]; /* hosts' as users' */
    root.bundle.n_user_cas = 1;
    rl_peers_add_to_trust(trust, NULL, peers, 1);
    ck_assert(!is_known(trust, &root.all[1]));
    ck_assert(is_known(trust, &own.all[2]));
    root.peer.trust = NULL;
    ck_assert_uint_eq(rl_peers_add_to_trust(trust, NULL, peers, 1), 0);
    rl_trust_unref(&trust);
}
END_TEST

START_TEST(finds_a_root_and_a_leaf_by_name)
{
    Pb__PeerCluster *peers[] = {&leaf.peer, &root.peer};
    ck_assert_ptr_eq(rl_peers_root(peers, 2, ROOT), &root.peer);
    ck_assert_ptr_eq(rl_peers_leaf(peers, 2, LEAF), &leaf.peer);
    ck_assert_ptr_null(rl_peers_root(peers, 2, LEAF));
    ck_assert_ptr_null(rl_peers_leaf(peers, 2, ROOT));
    ck_assert_ptr_null(rl_peers_root(NULL, 0, ROOT));
    ck_assert_ptr_null(rl_peers_root(peers, 2, ""));
}
END_TEST

START_TEST(who_came_by_an_authority_that_is_gone_is_vouched_for_no_more)
{
    Pb__PeerCluster *peers[] = {&root.peer};
    struct rl_trust *before = own_trust(), *after = own_trust();
    rl_peers_add_to_trust(before, NULL, peers, 1);
    struct rl_identity *alice = known(before, &root.all[2]), *ours = known(before, &own.all[2]);
    ck_assert(rl_trust_vouches(before, alice));
    ck_assert(!rl_trust_vouches(after, alice));
    ck_assert(rl_trust_vouches(after, ours));
    ck_assert(!rl_trust_is_same(before, after));
    rl_peers_add_to_trust(after, NULL, peers, 1);
    ck_assert(rl_trust_is_same(before, after));
    ck_assert(rl_trust_vouches(after, alice));
    rl_identity_unref(&alice);
    rl_identity_unref(&ours);
    rl_trust_unref(&before);
    rl_trust_unref(&after);
    free_cluster(&leaf);
    make_cluster(&leaf, ROOT, true); /* the same name, made anew */
    struct rl_trust *anew = own_trust();
    peers[0] = &leaf.peer;
    rl_peers_add_to_trust(anew, NULL, peers, 1);
    alice = known(anew, &leaf.all[2]);
    ck_assert(rl_trust_vouches(anew, alice));
    peers[0] = &root.peer;
    struct rl_trust *old = own_trust();
    rl_peers_add_to_trust(old, NULL, peers, 1);
    ck_assert(!rl_trust_vouches(old, alice));
    rl_identity_unref(&alice);
    rl_trust_unref(&anew);
    rl_trust_unref(&old);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("peers");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, believes_a_roots_users_and_a_leafs_services_and_nobody_else_of_theirs);
    tcase_add_test(t, leaves_out_what_can_not_be_a_peers);
    tcase_add_test(t, finds_a_root_and_a_leaf_by_name);
    tcase_add_test(t, who_came_by_an_authority_that_is_gone_is_vouched_for_no_more);
    Suite *s = suite_create("peers");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
