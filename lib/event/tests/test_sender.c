#include "clock/clock.h"
#include "event/event.h"
#include "identity/tests/authority.h"
#include "remoteler/v1/audit.pb-c.h"
#include "tls/tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 20000

static struct rl_loop *loop;
static struct authority services;
static struct rl_trust *trust;
static struct rl_tls_server *server_tls;
static struct rl_tls_client *client_tls;
static struct rl_rpc_server *audit;
static struct rl_rpc_channel *channel;
static struct rl_event_sender *sender;
static char address[64], lost_type[64], lost_reason[128];
static int appended, told;
static size_t told_dropped;

static int64_t now_s(void *context)
{
    (void)context;
    return NOW_S;
}

static rl_code anyone(void *context, const char *service, const char *method,
                      const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)peer, (void)err;
    return RL_OK;
}

/* It refuses each batch with an event of the type "sftp" in it. */
static void on_append(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    const Pb__AppendRequest *request = (const Pb__AppendRequest *)message;
    const Pb__AppendResponse response = PB__APPEND_RESPONSE__INIT;
    struct rl_error refusal;
    for (size_t i = 0; i < request->n_events; i++) {
        if (strcmp(request->events[i]->type, "sftp") != 0)
            continue;
        rl_fail(&refusal, RL_E_DENIED, "no sftp here");
        rl_rpc_fail(call, &refusal);
        return;
    }
    appended += (int)request->n_events;
    rl_rpc_reply(call, &response.base);
}

/* What else audit answers is nothing to a sender. */
static void on_other(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct rl_error refusal;
    (void)message, (void)context;
    rl_fail(&refusal, RL_E_UNIMPLEMENTED, "not here");
    rl_rpc_fail(call, &refusal);
}

static void serve_append(void)
{
    const ProtobufCServiceDescriptor *service = &pb__audit__descriptor;
    static struct rl_rpc_handler handlers[32]; /* the server borrows them */
    ck_assert_uint_le(service->n_methods, RL_COUNT(handlers));
    for (unsigned i = 0; i < service->n_methods; i++) {
        handlers[i].method = service->methods[i].name;
        handlers[i].unary = strcmp(handlers[i].method, "Append") == 0 ? on_append : on_other;
    }
    rl_rpc_server_add(audit, service, handlers, service->n_methods, NULL);
}

static struct rl_tls_identity *identity(const char *service)
{
    struct rl_buf der;
    struct rl_tls_identity *made = NULL;
    EVP_PKEY *key = fresh_key();
    X509 *leaf = authority_issue(&services, UUID_A, service, key);
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    ck_assert_int_eq(
        rl_tls_identity_create((struct rl_span[]){rl_buf_span(&der)}, 1, key, &made, NULL), RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    EVP_PKEY_free(key);
    return made;
}

static void start_audit(void)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_identity *own = identity("audit");
    const struct rl_tls_server_config tls = {.route = "test",
                                             .identity = own,
                                             .trust = trust,
                                             .client = RL_TLS_CLIENT_REQUIRED,
                                             .alpn = alpn,
                                             .now_s = now_s};
    const struct rl_rpc_server_config config = {.loop = loop, .authorize = anyone, .now_s = now_s};
    ck_assert_int_eq(rl_tls_server_create(&tls, &server_tls, NULL), RL_OK);
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &audit, NULL), RL_OK);
    serve_append();
    const struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = server_tls};
    uint16_t port = 0;
    ck_assert_int_eq(rl_rpc_server_listen(audit, &listen, &port, NULL), RL_OK);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rl_tls_identity_unref(&own);
}

static void on_lost(void *context, const Pb__Event *event, const char *reason, size_t dropped)
{
    (void)context;
    told++;
    told_dropped = dropped;
    snprintf(lost_type, sizeof lost_type, "%s", event ? event->type : "none");
    snprintf(lost_reason, sizeof lost_reason, "%s", reason);
}

static void set_up(void)
{
    appended = told = 0;
    ck_assert_int_eq(rl_loop_create(&loop, NULL), RL_OK);
    services = authority_make(RL_IDENTITY_SERVICE, "main");
    trust = rl_trust_create("main");
    authority_trust(trust, RL_IDENTITY_SERVICE, "main", services.ca, NULL);
    start_audit();
    struct rl_tls_identity *own = identity("proxy");
    const struct rl_tls_client_config tls = {.identity = own,
                                             .trust = trust,
                                             .alpn = "h2",
                                             .peer_kind = RL_IDENTITY_SERVICE,
                                             .peer_service = "audit",
                                             .now_s = now_s};
    ck_assert_int_eq(rl_tls_client_create(&tls, &client_tls, NULL), RL_OK);
    rl_tls_identity_unref(&own);
    const struct rl_rpc_channel_config config = {
        .loop = loop, .address = address, .tls = client_tls, .now_s = now_s};
    ck_assert_int_eq(rl_rpc_channel_create_h2(&config, &channel, NULL), RL_OK);
    sender = rl_event_sender_create(loop, channel);
    rl_event_sender_on_lost(sender, on_lost, NULL);
}

static void tear_down(void)
{
    rl_event_sender_free(&sender, 0);
    rl_rpc_channel_free(&channel);
    rl_rpc_server_free(&audit);
    rl_tls_client_unref(&client_tls);
    rl_tls_server_unref(&server_tls);
    rl_trust_unref(&trust);
    authority_free(&services);
    rl_loop_free(&loop);
}

static void happen(const char *type)
{
    Pb__Event *event = rl_event_create(type, "success", NOW_S * 1000000000ll);
    rl_event_send(sender, &event);
}

#define TURN_UNTIL(claim)                                                                          \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn(loop, 20);                                                                \
        }                                                                                          \
    } while (0)

START_TEST(an_event_that_audit_refuses_is_said_and_holds_up_no_other)
{
    happen("user.login");
    happen("sftp");
    happen("user.logout");
    TURN_UNTIL(appended == 2 && rl_event_sender_pending(sender) == 0);
    ck_assert_int_eq(told, 1);
    ck_assert_str_eq(lost_type, "sftp");
    ck_assert_str_eq(lost_reason, "no sftp here");
    ck_assert_uint_eq(told_dropped, 1);
    ck_assert_uint_eq(rl_event_sender_dropped(sender), 1);
}
END_TEST

START_TEST(events_that_find_no_room_are_said_once_and_counted)
{
    for (int i = 0; i < RL_EVENT_QUEUE_MAX + 5; i++) /* before the loop turns: none is on its way */
        happen("user.login");
    TURN_UNTIL(told == 1);
    ck_assert_str_eq(lost_type, "none");
    ck_assert_uint_eq(told_dropped, 5);
    TURN_UNTIL(appended == RL_EVENT_QUEUE_MAX);
    ck_assert_int_eq(told, 1);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("sender");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_event_that_audit_refuses_is_said_and_holds_up_no_other);
    tcase_add_test(t, events_that_find_no_room_are_said_once_and_counted);
    Suite *suite = suite_create("sender");
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
