#include "access/access.h"

#include "remoteler/v1/audit.pb-c.h"
#include "remoteler/v1/auth.pb-c.h"
#include "remoteler/v1/control.pb-c.h"
#include "remoteler/v1/tunnel.pb-c.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static const ProtobufCServiceDescriptor *const services[] = {
    &pb__auth__descriptor,   &pb__fleet__descriptor,   &pb__session__descriptor,
    &pb__admin__descriptor,  &pb__control__descriptor, &pb__tunnel_broker__descriptor,
    &pb__dialer__descriptor, &pb__passage__descriptor, &pb__audit__descriptor,
    &pb__trust__descriptor,
};

/* ---- every kind of caller there is ---- */

enum {
    NOBODY,
    USER,
    AGENT,
    PROXY,
    BROKER,
    AUDIT,
    AUTH,
    FOREIGN_FIRST,
    LEAF_BROKER = FOREIGN_FIRST,
    ROOT_USER,
    FOREIGN_AGENT,
    FOREIGN_PROXY,
    FOREIGN_AUDIT,
    LEAF_AUTH,
    CALLERS
};

static char main_cluster[] = "main", leaf_cluster[] = "leaf.example", name[] = "x";
static char auth[] = "auth", proxy[] = "proxy", broker[] = "broker", audit[] = "audit";
static Pb__IdentityClaims no_claims = PB__IDENTITY_CLAIMS__INIT;

#define SERVICE(cluster_, service_)                                                                \
    {                                                                                              \
        .kind = RL_IDENTITY_SERVICE, .cluster = (cluster_), .name = name, .service = (service_),   \
        .claims = &no_claims                                                                       \
    }
#define PARTY(kind_, cluster_)                                                                     \
    {                                                                                              \
        .kind = (kind_), .cluster = (cluster_), .name = name, .claims = &no_claims                 \
    }

static const struct rl_identity callers[CALLERS] = {
    [USER] = PARTY(RL_IDENTITY_USER, main_cluster),
    [AGENT] = PARTY(RL_IDENTITY_AGENT, main_cluster),
    [PROXY] = SERVICE(main_cluster, proxy),
    [BROKER] = SERVICE(main_cluster, broker),
    [AUDIT] = SERVICE(main_cluster, audit),
    [AUTH] = SERVICE(main_cluster, auth),
    [LEAF_BROKER] = SERVICE(leaf_cluster, broker),
    [ROOT_USER] = PARTY(RL_IDENTITY_USER, leaf_cluster),
    [FOREIGN_AGENT] = PARTY(RL_IDENTITY_AGENT, leaf_cluster),
    [FOREIGN_PROXY] = SERVICE(leaf_cluster, proxy),
    [FOREIGN_AUDIT] = SERVICE(leaf_cluster, audit),
    [LEAF_AUTH] = SERVICE(leaf_cluster, auth),
};

static const struct rl_identity *caller_of(int kind)
{
    return kind == NOBODY ? NULL : &callers[kind];
}

/* ---- the expectation, written from the architecture and not from the table ---- */

static bool is_method(const char *service, const char *method, const char *text)
{
    char full[128];
    snprintf(full, sizeof full, "%s/%s", strrchr(service, '.') + 1, method);
    return strcmp(full, text) == 0;
}

static bool expect_control(const char *method, int who)
{
    if (strcmp(method, "Watch") == 0 || strcmp(method, "Heartbeat") == 0)
        return who == PROXY || who == BROKER || who == AUDIT || who == AUTH;
    if (strcmp(method, "ResolveTarget") == 0)
        return who == PROXY || who == BROKER;
    if (strcmp(method, "Decide") == 0)
        return who == PROXY || who == AUDIT;
    if (strcmp(method, "SignTombstones") == 0)
        return who == AUDIT;
    return who == BROKER; /* what concerns tunnels */
}

static bool expect(const char *service, const char *method, int who)
{
    if (strcmp(service, "remoteler.v1.Auth") == 0)
        return who < FOREIGN_FIRST;
    if (strcmp(service, "remoteler.v1.Trust") == 0)
        return strcmp(method, "Update") == 0 || strcmp(method, "Leave") == 0 ? who == LEAF_AUTH
                                                                             : who < FOREIGN_FIRST;
    if (is_method(service, method, "Session/ListNodes") ||
        is_method(service, method, "Session/Authorities"))
        return who == USER || who == ROOT_USER;
    if (strcmp(service, "remoteler.v1.Session") == 0 || strcmp(service, "remoteler.v1.Admin") == 0)
        return who == USER;
    if (strcmp(service, "remoteler.v1.Control") == 0)
        return expect_control(method, who);
    if (is_method(service, method, "Passage/Leave"))
        return who == PROXY;
    if (strcmp(service, "remoteler.v1.TunnelBroker") == 0)
        return who == AGENT || who == LEAF_BROKER;
    if (is_method(service, method, "Dialer/Dial"))
        return who == PROXY || who == BROKER;
    if (is_method(service, method, "Fleet/Renew"))
        return who == AGENT || who == PROXY || who == BROKER || who == AUDIT;
    if (is_method(service, method, "Fleet/Follow"))
        return who == AGENT;
    if (is_method(service, method, "Audit/Append"))
        return who == AGENT || who == AUTH || who == PROXY || who == BROKER;
    if (is_method(service, method, "Audit/Search"))
        return who == USER || who == ROOT_USER || who == AUTH;
    if (is_method(service, method, "Audit/Heads"))
        return who == AUTH;
    if (is_method(service, method, "Audit/WriteRecording"))
        return who == AGENT;
    if (is_method(service, method, "Audit/ListRecordings") ||
        is_method(service, method, "Audit/Play"))
        return who == USER || who == ROOT_USER;
    if (is_method(service, method, "Audit/Ledger"))
        return who == USER;
    ck_abort_msg("%s/%s is new: say here and in the table who may call it", service, method);
    return false;
}

START_TEST(every_method_is_for_whom_the_architecture_says)
{
    for (size_t s = 0; s < RL_COUNT(services); s++)
        for (unsigned m = 0; m < services[s]->n_methods; m++)
            for (int who = 0; who < CALLERS; who++) {
                const char *method = services[s]->methods[m].name;
                rl_code code =
                    rl_access_check("main", services[s]->name, method, caller_of(who), NULL);
                rl_code expected = expect(services[s]->name, method, who) ? RL_OK
                                   : who == NOBODY                        ? RL_E_UNAUTHENTICATED
                                                                          : RL_E_DENIED;
                ck_assert_msg(code == expected, "%s/%s, caller %d: %s", services[s]->name, method,
                              who, rl_code_name(code));
            }
}
END_TEST

START_TEST(the_table_and_the_descriptors_have_the_same_methods)
{
    size_t rows, methods = 0;
    const struct rl_access_row *table = rl_access_table(&rows);
    for (size_t s = 0; s < RL_COUNT(services); s++)
        methods += services[s]->n_methods;
    ck_assert_uint_eq(rows, methods);
    for (size_t s = 0; s < RL_COUNT(services); s++)
        for (unsigned m = 0; m < services[s]->n_methods; m++) {
            size_t found = 0;
            for (size_t i = 0; i < rows; i++)
                found += strcmp(table[i].service, services[s]->name) == 0 &&
                         strcmp(table[i].method, services[s]->methods[m].name) == 0;
            ck_assert_msg(found == 1, "%s/%s has %zu rows", services[s]->name,
                          services[s]->methods[m].name, found);
        }
}
END_TEST

START_TEST(what_is_not_in_the_table_is_for_nobody)
{
    static const char *const unknown[][2] = {
        {"remoteler.v1.Auth", "ping"},  {"remoteler.v1.Auth", ""}, {"", ""}, {"Auth", "Ping"},
        {"remoteler.v1.Admin", "Ping"},
    };
    for (size_t i = 0; i < RL_COUNT(unknown); i++)
        for (int who = 0; who < CALLERS; who++)
            ck_assert_int_eq(
                rl_access_check("main", unknown[i][0], unknown[i][1], caller_of(who), NULL),
                RL_E_DENIED);
}
END_TEST

START_TEST(a_certificate_for_one_target_calls_nothing)
{
    char target[] = "kube/dev", usage[] = "app", none[] = "";
    struct rl_error err;
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    struct rl_identity user = callers[USER];
    user.claims = &claims;
    claims.via = name; /* the web UI's: the proxy asks on the user's behalf */
    ck_assert_int_eq(rl_access_check("main", "remoteler.v1.Session", "ListNodes", &user, NULL),
                     RL_OK);
    claims.target = target;
    ck_assert_int_eq(rl_access_check("main", "remoteler.v1.Session", "ListNodes", &user, &err),
                     RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "kube/dev only"));
    claims.target = none;
    claims.usage = usage;
    ck_assert_int_eq(rl_access_check("main", "remoteler.v1.Admin", "Status", &user, NULL),
                     RL_E_DENIED);
}
END_TEST

START_TEST(a_certificate_of_a_retired_authority_renews_and_does_nothing_else)
{
    struct rl_error err;
    struct rl_identity agent = callers[AGENT];
    agent.is_retired = true;
    size_t rows;
    const struct rl_access_row *table = rl_access_table(&rows);
    for (size_t i = 0; i < rows; i++) {
        rl_code code = rl_access_check("main", table[i].service, table[i].method, &agent, &err);
        bool is_renewal = is_method(table[i].service, table[i].method, "Fleet/Renew");
        ck_assert_msg(code == (is_renewal ? RL_OK : RL_E_UNAUTHENTICATED), "%s/%s",
                      table[i].service, table[i].method);
    }
}
END_TEST

START_TEST(a_service_kind_that_is_not_known_calls_nothing_of_its_own)
{
    char odd[] = "mirror";
    struct rl_identity caller = callers[PROXY];
    caller.service = odd;
    ck_assert_int_eq(rl_access_check("main", "remoteler.v1.Dialer", "Dial", &caller, NULL),
                     RL_E_DENIED);
    ck_assert_int_eq(rl_access_check("main", "remoteler.v1.Auth", "Ping", &caller, NULL),
                     RL_E_DENIED);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("access");
    tcase_add_test(t, every_method_is_for_whom_the_architecture_says);
    tcase_add_test(t, the_table_and_the_descriptors_have_the_same_methods);
    tcase_add_test(t, what_is_not_in_the_table_is_for_nobody);
    tcase_add_test(t, a_certificate_for_one_target_calls_nothing);
    tcase_add_test(t, a_certificate_of_a_retired_authority_renews_and_does_nothing_else);
    tcase_add_test(t, a_service_kind_that_is_not_known_calls_nothing_of_its_own);
    Suite *s = suite_create("access");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
