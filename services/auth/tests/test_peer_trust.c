/* What another cluster says of its authorities: only what is fit is kept. */
#include "authority/issue.h"
#include "clock/clock.h"
#include "clusters/peer_trust.h"
#include "db/peers.h"
#include "fixture.h"
#include "names/names.h"
#include "sshcert/sshcert.h"
#include "sshcert/sshkey.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static struct rl_snapshot *snapshot;
static Pb__TrustBundle *offered;

static void set_up(void)
{
    fixture_set_up();
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    offered = NULL;
}

static void tear_down(void)
{
    if (offered)
        pb__trust_bundle__free_unpacked(offered, NULL);
    rl_snapshot_unref(&snapshot);
    fixture_tear_down();
}

static rl_code take(enum rl_peer peer)
{
    Pb__TrustBundle *taken = NULL;
    rl_code rc = rl_peer_trust_take(offered, peer, CLUSTER, &taken, &err);
    if (taken)
        pb__trust_bundle__free_unpacked(taken, NULL);
    return rc;
}

static void offer(enum rl_peer as)
{
    if (offered)
        pb__trust_bundle__free_unpacked(offered, NULL);
    offered = rl_peer_trust_own(snapshot, as);
}

static void refuse(enum rl_peer peer, const char *why)
{
    refused(take(peer), RL_E_INVAL);
    ck_assert_msg(strstr(err.message, why), "%s", err.message);
}

START_TEST(what_a_cluster_tells_is_what_the_other_takes)
{
    offer(RL_PEER_LEAF);
    ok(take(RL_PEER_LEAF));
    offer(RL_PEER_ROOT);
    ok(take(RL_PEER_ROOT));
    refuse(RL_PEER_LEAF, "services and hosts, and no others");
    offer(RL_PEER_LEAF);
    refuse(RL_PEER_ROOT, "authorities of hosts");
}
END_TEST

START_TEST(authorities_of_another_name_are_refused)
{
    Pb__TrustBundle *taken = NULL;
    offer(RL_PEER_LEAF);
    refused(rl_peer_trust_take(offered, RL_PEER_LEAF, "other.example", &taken, &err), RL_E_INVAL);
    rl_message_text(&offered->cluster, "other.example");
    refused(rl_peer_trust_take(offered, RL_PEER_LEAF, "other.example", &taken, &err), RL_E_INVAL);
    ck_assert_msg(strstr(err.message, "an authority of services"), "%s", err.message);
    rl_message_text(&offered->cluster, "..");
    refused(rl_peer_trust_take(offered, RL_PEER_LEAF, "..", &taken, &err), RL_E_INVAL);
    refused(rl_peer_trust_take(NULL, RL_PEER_LEAF, CLUSTER, &taken, &err), RL_E_INVAL);
    ck_assert_ptr_null(taken);
}
END_TEST

START_TEST(a_private_key_is_refused)
{
    struct rl_buf pem;
    offer(RL_PEER_ROOT);
    rl_message_bytes(&offered->policy_keys[0]->private_key, RL_SPAN("secret", 6));
    refuse(RL_PEER_ROOT, "private half");
    offer(RL_PEER_LEAF);
    rl_buf_init(&pem, 4096);
    ok(rl_key_to_pem(snapshot->authorities->service.key, &pem, &err));
    rl_message_append_bytes(&offered->service_cas, &offered->n_service_cas, rl_buf_span(&pem));
    refuse(RL_PEER_LEAF, "an authority of services");
    rl_buf_fini(&pem);
}
END_TEST

/* A certificate followed by something else, and a key the same. */
START_TEST(an_extra_key_behind_one_is_refused)
{
    struct rl_buf longer;
    offer(RL_PEER_LEAF);
    rl_buf_init(&longer, 16384);
    rl_buf_put_span(&longer, RL_BINARY(offered->service_cas[0]));
    rl_buf_put_span(&longer, RL_BINARY(offered->host_cas[0]));
    rl_message_bytes(&offered->service_cas[0], rl_buf_span(&longer));
    refuse(RL_PEER_LEAF, "an authority of services");
    offer(RL_PEER_LEAF);
    rl_buf_clear(&longer);
    rl_buf_put_span(&longer, RL_BINARY(offered->host_ssh_cas[0]));
    rl_buf_put_span(&longer, RL_BINARY(offered->host_ssh_cas[0]));
    rl_message_bytes(&offered->host_ssh_cas[0], rl_buf_span(&longer));
    refuse(RL_PEER_LEAF, "an SSH key of hosts");
    rl_buf_fini(&longer);
}
END_TEST

START_TEST(a_key_has_one_purpose)
{
    offer(RL_PEER_LEAF);
    rl_message_append_bytes(&offered->host_cas, &offered->n_host_cas,
                            RL_BINARY(offered->service_cas[0]));
    refuse(RL_PEER_LEAF, "there twice");
}
END_TEST

START_TEST(a_certificate_is_no_signing_key)
{
    struct party party;
    struct rl_buf blob;
    party_init(&party);
    rl_buf_init(&blob, RL_SSHCERT_BYTES_MAX);
    static const char *const principals[] = {"host"};
    const struct rl_sshcert_request request = {
        .kind = RL_SSHCERT_HOST,
        .subject = rl_buf_span(&party.ssh_blob),
        .key_id = "x",
        .principals = principals,
        .principals_n = 1,
        .valid_after_s = 1,
        .valid_before_s = UINT64_MAX,
    };
    ok(rl_sshcert_issue(&request, snapshot->authorities->host_ssh.key, &blob, &err));
    offer(RL_PEER_LEAF);
    rl_message_bytes(&offered->host_ssh_cas[0], rl_buf_span(&blob));
    refuse(RL_PEER_LEAF, "an SSH key of hosts");
    rl_buf_fini(&blob);
    party_fini(&party);
}
END_TEST

START_TEST(an_identity_is_no_authority)
{
    struct rl_tls_identity *own = NULL;
    struct rl_buf der;
    rl_buf_init(&der, 16384);
    char id[RL_UUID_TEXT_BYTES];
    rl_uuid4(id);
    ok(rl_issue_own(snapshot, CLUSTER, id, NULL, 0, rl_clock_wall_ns(), &own, &err));
    ok(rl_x509_to_der(rl_tls_identity_certificate(own), &der, &err));
    offer(RL_PEER_LEAF);
    rl_message_bytes(&offered->service_cas[0], rl_buf_span(&der));
    refuse(RL_PEER_LEAF, "an authority of services");
    rl_buf_fini(&der);
    rl_tls_identity_unref(&own);
}
END_TEST

START_TEST(there_are_so_many_of_a_kind_and_at_least_one)
{
    offer(RL_PEER_LEAF);
    while (offered->n_host_ssh_cas < RL_PEER_AUTHORITIES_MAX)
        rl_message_append_bytes(&offered->host_ssh_cas, &offered->n_host_ssh_cas,
                                RL_BINARY(offered->host_ssh_cas[0]));
    ok(take(RL_PEER_LEAF));
    rl_message_append_bytes(&offered->host_ssh_cas, &offered->n_host_ssh_cas,
                            RL_BINARY(offered->host_ssh_cas[0]));
    refuse(RL_PEER_LEAF, "more than 8");
    offer(RL_PEER_LEAF);
    while (offered->n_service_cas)
        free(offered->service_cas[--offered->n_service_cas].data);
    refuse(RL_PEER_LEAF, "no authority of services");
}
END_TEST

/* With so much in it besides its key. */
static void pad(ProtobufCBinaryData *certificate, EVP_PKEY *key, size_t bytes)
{
    X509 *padded = NULL;
    struct rl_buf der;
    char *comment = rl_alloc(bytes + 1);
    memset(comment, 'x', bytes);
    rl_buf_init(&der, 65536);
    ok(rl_x509_from_der(RL_BINARY(*certificate), &padded, &err));
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, NULL, NID_netscape_comment, comment);
    ck_assert_int_eq(X509_add_ext(padded, extension, -1), 1);
    ck_assert_int_gt(X509_sign(padded, key, EVP_sha256()), 0);
    ok(rl_x509_to_der(padded, &der, &err));
    rl_message_bytes(certificate, rl_buf_span(&der));
    X509_EXTENSION_free(extension);
    X509_free(padded);
    rl_buf_fini(&der);
    free(comment);
}

START_TEST(authorities_that_are_padded_do_not_fill_what_services_are_told)
{
    offer(RL_PEER_LEAF);
    pad(&offered->service_cas[0], snapshot->authorities->service.key, 1024);
    ok(take(RL_PEER_LEAF));
    pad(&offered->host_cas[0], snapshot->authorities->host_x509.key, RL_PEER_TRUST_BYTES_MAX);
    refuse(RL_PEER_LEAF, "more than 32768 bytes");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("peer_trust");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_a_cluster_tells_is_what_the_other_takes);
    tcase_add_test(t, authorities_of_another_name_are_refused);
    tcase_add_test(t, a_private_key_is_refused);
    tcase_add_test(t, an_extra_key_behind_one_is_refused);
    tcase_add_test(t, a_key_has_one_purpose);
    tcase_add_test(t, a_certificate_is_no_signing_key);
    tcase_add_test(t, an_identity_is_no_authority);
    tcase_add_test(t, there_are_so_many_of_a_kind_and_at_least_one);
    tcase_add_test(t, authorities_that_are_padded_do_not_fill_what_services_are_told);
    return fixture_main("peer_trust", t);
}
