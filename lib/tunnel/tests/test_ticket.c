#include "identity/tests/authority.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>

#define NS_PER_S 1000000000ll
#define NOW_NS (NOW_S * NS_PER_S)

static struct authority services, users;
static struct rl_trust *trust;
static EVP_PKEY *key;
static X509 *proxy;

static void set_up(void)
{
    services = authority_make(RL_IDENTITY_SERVICE, "a.example");
    users = authority_make(RL_IDENTITY_USER, "a.example");
    trust = rl_trust_create("a.example");
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_SERVICE, "a.example", services.ca, NULL),
                     RL_OK);
    ck_assert_int_eq(authority_trust(trust, RL_IDENTITY_USER, "a.example", users.ca, NULL), RL_OK);
    key = fresh_key();
    proxy = authority_issue(&services, UUID_A, "proxy", key);
}

static void tear_down(void)
{
    X509_free(proxy);
    EVP_PKEY_free(key);
    rl_trust_unref(&trust);
    authority_free(&services);
    authority_free(&users);
}

struct variant {
    const char *cluster, *agent_id;
    int64_t age_s;
    size_t nonce_bytes;
    uint8_t nonce_first;
};

static Pb__SignedTicket *make(const struct variant *v, X509 *certificate)
{
    uint8_t nonce[32] = {v->nonce_first};
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.cluster = (char *)(uintptr_t)v->cluster;
    ticket.agent_id = (char *)(uintptr_t)v->agent_id;
    ticket.time_ns = NOW_NS - v->age_s * NS_PER_S;
    ticket.nonce = (ProtobufCBinaryData){v->nonce_bytes, nonce};
    Pb__SignedTicket *out = NULL;
    ck_assert_int_eq(rl_ticket_sign(&ticket, key, certificate, &out, NULL), RL_OK);
    return out;
}

static rl_code verify(const Pb__SignedTicket *ticket, struct rl_ticket_seen *seen,
                      struct rl_error *err)
{
    struct rl_ticket_check check = {
        .trust = trust, .agent_id = UUID_B, .now_ns = NOW_NS, .seen = seen};
    Pb__Ticket *out = NULL;
    rl_code rc = rl_ticket_verify(ticket, &check, &out, err);
    ck_assert((rc == RL_OK) == (out != NULL));
    if (out)
        pb__ticket__free_unpacked(out, NULL);
    return rc;
}

static rl_code verify_variant(const struct variant *v, X509 *certificate, struct rl_error *err)
{
    Pb__SignedTicket *ticket = make(v, certificate);
    rl_code rc = verify(ticket, NULL, err);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    return rc;
}

static const struct variant good = {"a.example", UUID_B, 0, 16, 1};

START_TEST(believes_a_proxy_of_this_cluster)
{
    ck_assert_int_eq(verify_variant(&good, proxy, NULL), RL_OK);
}
END_TEST

START_TEST(refuses_what_is_for_others_or_not_of_this_minute)
{
    static const struct {
        struct variant v;
        rl_code code;
        const char *words;
    } rows[] = {
        {{"b.example", UUID_B, 0, 16, 1}, RL_E_DENIED, "another cluster"},
        {{"a.example", UUID_A, 0, 16, 1}, RL_E_DENIED, "another agent"},
        {{"a.example", UUID_B, 60, 16, 1}, RL_OK, ""},
        {{"a.example", UUID_B, 61, 16, 1}, RL_E_DENIED, "older than 60"},
        {{"a.example", UUID_B, -60, 16, 1}, RL_OK, ""},
        {{"a.example", UUID_B, -61, 16, 1}, RL_E_DENIED, "future"},
        {{"a.example", UUID_B, 0, 15, 1}, RL_E_INVAL, "nonce"},
        {{"a.example", UUID_B, 0, 17, 1}, RL_E_INVAL, "nonce"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        struct rl_error err = {0};
        ck_assert_int_eq(verify_variant(&rows[i].v, proxy, &err), rows[i].code);
        ck_assert_msg(strstr(err.message, rows[i].words), "%zu: %s", i, err.message);
    }
}
END_TEST

START_TEST(refuses_a_signer_that_is_not_a_proxy)
{
    X509 *broker = authority_issue(&services, UUID_A, "broker", key);
    X509 *user = authority_issue(&users, "alice", NULL, key);
    struct rl_error err;
    ck_assert_int_eq(verify_variant(&good, broker, &err), RL_E_DENIED);
    ck_assert(strstr(err.message, "not by a proxy"));
    ck_assert_int_eq(verify_variant(&good, user, &err), RL_E_DENIED);
    X509_free(broker);
    X509_free(user);
}
END_TEST

START_TEST(refuses_a_signature_by_another_key)
{
    EVP_PKEY *other = fresh_key();
    X509 *others = authority_issue(&services, UUID_A, "proxy", other);
    ck_assert_int_ne(verify_variant(&good, others, NULL), RL_OK); /* signed with `key` */
    X509_free(others);
    EVP_PKEY_free(other);
}
END_TEST

START_TEST(refuses_every_changed_byte)
{
    Pb__SignedTicket *ticket = make(&good, proxy);
    for (size_t i = 0; i < ticket->ticket.len; i++) {
        ticket->ticket.data[i] ^= 1;
        ck_assert_int_ne(verify(ticket, NULL, NULL), RL_OK);
        ticket->ticket.data[i] ^= 1;
    }
    ck_assert_int_eq(verify(ticket, NULL, NULL), RL_OK);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    ck_assert_int_eq(verify(NULL, NULL, NULL), RL_E_INVAL);
}
END_TEST

START_TEST(takes_a_ticket_once_and_forgets_it_when_it_is_stale)
{
    struct rl_ticket_seen *seen = rl_ticket_seen_create(3);
    struct rl_error err;
    Pb__SignedTicket *ticket = make(&good, proxy);
    ck_assert_int_eq(verify(ticket, seen, NULL), RL_OK);
    ck_assert_int_eq(verify(ticket, seen, &err), RL_E_DENIED);
    ck_assert(strstr(err.message, "used before"));
    for (uint8_t i = 2; i <= 4; i++) {
        struct variant v = good;
        v.nonce_first = i;
        Pb__SignedTicket *other = make(&v, proxy);
        ck_assert_int_eq(verify(other, seen, &err), i <= 3 ? RL_OK : RL_E_EXHAUSTED);
        if (i == 4) { /* 121 s later there is room again */
            struct rl_ticket_check check = {.trust = trust, .agent_id = UUID_B, .seen = seen};
            check.now_ns = NOW_NS + 121 * NS_PER_S;
            v.age_s = -121;
            Pb__SignedTicket *later = make(&v, proxy);
            Pb__Ticket *out = NULL;
            ck_assert_int_eq(rl_ticket_verify(later, &check, &out, NULL), RL_OK);
            pb__ticket__free_unpacked(out, NULL);
            pb__signed_ticket__free_unpacked(later, NULL);
        }
        pb__signed_ticket__free_unpacked(other, NULL);
    }
    pb__signed_ticket__free_unpacked(ticket, NULL);
    rl_ticket_seen_free(&seen);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("ticket");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, believes_a_proxy_of_this_cluster);
    tcase_add_test(tests, refuses_what_is_for_others_or_not_of_this_minute);
    tcase_add_test(tests, refuses_a_signer_that_is_not_a_proxy);
    tcase_add_test(tests, refuses_a_signature_by_another_key);
    tcase_add_test(tests, refuses_every_changed_byte);
    tcase_add_test(tests, takes_a_ticket_once_and_forgets_it_when_it_is_stale);
    Suite *suite = suite_create("ticket");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
