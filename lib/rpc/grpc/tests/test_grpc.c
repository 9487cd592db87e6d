/* What only gRPC core does, or does in its own way. */
#include "ends.h"

#include "clock/clock.h"
#include "dial/dial.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ends ends;
static struct seen *const seen = &ends.seen;

static void set_up(void)
{
    ends_init(&ends);
    ends_serve(&ends, OVER_GRPC);
    ends_connect(&ends, OVER_GRPC, "auth");
}

static void tear_down(void)
{
    ends_fini(&ends);
}

static struct rl_rpc_call *talk(struct heard *heard)
{
    *heard = (struct heard){0};
    struct rl_rpc_call *call =
        rl_rpc_stream(ends.channel, &cross__cross__descriptor, "Talk", 0, &hearing, heard);
    say(call, 1, 1);
    turn_until(ends.loop, &heard->messages, 1);
    return call;
}

/* Another channel to the same server; the next call is answered over it. */
static const uint8_t *fingerprint_of_server(uint8_t out[32])
{
    struct heard heard;
    struct rl_rpc_call *call = talk(&heard);
    memcpy(out, rl_rpc_peer(call)->identity->fingerprint, 32);
    rl_rpc_end(call, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    return out;
}

START_TEST(a_server_takes_a_new_certificate_without_a_restart)
{
    uint8_t before[32], after[32];
    struct heard heard;
    struct rl_error err;
    struct rl_rpc_call *running = talk(&heard);
    fingerprint_of_server(before);
    struct rl_tls_identity *fresh = authority_identity(&ends.authority, "auth", 3600);
    rl_code rc = rl_rpc_server_reload_grpc(ends.server, fresh, ends.authority.trust, &err);
    ck_assert_msg(rc == RL_OK, "%s", err.message);
    ck_assert_mem_eq(fingerprint_of_server(after), before, 32);
    rl_rpc_channel_renew(ends.channel, NULL);
    ck_assert_mem_ne(fingerprint_of_server(after), before, 32);
    say(running, 2, 1);
    turn_until(ends.loop, &heard.messages, 2);
    rl_rpc_end(running, RL_OK, NULL);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_OK);
    rl_tls_identity_unref(&fresh);
}
END_TEST

START_TEST(a_channel_takes_a_new_certificate_for_new_calls)
{
    struct heard heard;
    struct rl_rpc_call *running = talk(&heard);
    uint64_t connection = seen->connection;
    struct rl_tls_identity *fresh = authority_identity(&ends.authority, "broker", 3600);
    ck_assert_int_eq(rl_rpc_channel_reload_grpc(ends.channel, fresh, ends.authority.trust, NULL),
                     RL_OK);
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    ck_assert_ptr_nonnull(strstr(seen->who, "service broker"));
    ck_assert_uint_ne(seen->connection, connection);
    say(running, 2, 1);
    turn_until(ends.loop, &heard.messages, 2);
    rl_rpc_cancel(running);
    turn_until(ends.loop, &heard.closed, 1);
    rl_tls_identity_unref(&fresh);
}
END_TEST

START_TEST(authorities_can_be_exchanged)
{
    struct authority next;
    authority_init(&next, "main");
    struct rl_tls_identity *server = authority_identity(&next, "auth", 3600);
    struct rl_tls_identity *client = authority_identity(&next, "proxy", 3600);
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    ck_assert_int_eq(rl_rpc_server_reload_grpc(ends.server, server, next.trust, NULL), RL_OK);
    /* The connection stands, its holder is not known any more. */
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(rl_rpc_channel_reload_grpc(ends.channel, client, next.trust, NULL), RL_OK);
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    rl_tls_identity_unref(&server);
    rl_tls_identity_unref(&client);
    authority_fini(&next);
}
END_TEST

static rl_code allow_nobody(void *context, const char *service, const char *method,
                            const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context;
    (void)peer;
    return rl_fail(err, RL_E_DENIED, "%s.%s", service, method);
}

START_TEST(a_port_is_taken_by_one_server_only)
{
    struct rl_error err;
    struct ends second;
    ends_init(&second);
    ends_serve(&second, OVER_GRPC);
    ck_assert_uint_ne(second.port, ends.port);
    struct rl_rpc_listen listen = {
        .address = ends.address, .identity = ends.server_identity, .trust = ends.authority.trust};
    ck_assert_int_eq(rl_rpc_server_listen(ends.server, &listen, NULL, &err), RL_E_PRECONDITION);
    rl_rpc_server_free(&second.server);
    struct rl_rpc_server_config config = {.loop = second.loop, .authorize = allow_nobody};
    ck_assert_int_eq(rl_rpc_server_create_grpc(&config, &second.server, NULL), RL_OK);
    ck_assert_int_eq(rl_rpc_server_listen(second.server, &listen, NULL, &err), RL_E_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(err.message, ends.address));
    ends_fini(&second);
}
END_TEST

static int64_t clock_ahead_s;
static int64_t shifted_clock(void *context)
{
    (void)context;
    return rl_clock_wall_s() + clock_ahead_s;
}

START_TEST(a_certificate_that_expires_ends_the_right_to_call)
{
    clock_ahead_s = 0;
    ends.now_s = shifted_clock;
    rl_rpc_server_free(&ends.server);
    ends_serve(&ends, OVER_GRPC);
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    clock_ahead_s = 3601 + RL_IDENTITY_BACKDATE_S;
    struct answer a = ask(&ends, "Say", 1, "", 5000);
    ck_assert_int_eq(a.code, RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(a.message, "expired"));
}
END_TEST

START_TEST(a_servers_certificate_that_expired_is_refused_with_the_reason)
{
    clock_ahead_s = 3601 + RL_IDENTITY_BACKDATE_S;
    ends.now_s = shifted_clock;
    rl_rpc_channel_free(&ends.channel);
    ends_connect(&ends, OVER_GRPC, "auth");
    struct answer a = ask(&ends, "Say", 1, "", 20000);
    ck_assert_int_eq(a.code, RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(a.message, "expired"));
    ck_assert_ptr_nonnull(strstr(a.message, ends.address));
    ck_assert_uint_eq(ends.up, 0);
    ck_assert_uint_ge(ends.down, 1);
    ck_assert_int_eq(ends.down_code, RL_E_UNAUTHENTICATED);
    ck_assert_str_eq(seen->who, "");
}
END_TEST

START_TEST(a_dns_name_does_not_make_a_service)
{
    rl_rpc_server_free(&ends.server);
    rl_tls_identity_unref(&ends.server_identity);
    ends.server_identity = authority_identity_as(&ends.authority, "proxy", "auth", 3600);
    ends_serve(&ends, OVER_GRPC);
    struct answer a = ask(&ends, "Say", 1, "", 20000);
    ck_assert_int_eq(a.code, RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(a.message, "expected the service auth"));
    ck_assert_str_eq(seen->who, "");
}
END_TEST

START_TEST(a_call_with_a_deadline_waits_for_its_server)
{
    rl_rpc_server_free(&ends.server);
    struct answer a = {0};
    Cross__Words words = CROSS__WORDS__INIT;
    rl_rpc_unary(ends.channel, &cross__cross__descriptor, "Say", &words.base, 20000, on_answer, &a,
                 NULL);
    turn_until(ends.loop, &ends.down, 1);
    ck_assert_uint_eq(a.done, 0);
    ends_serve(&ends, OVER_GRPC);
    turn_until(ends.loop, &a.done, 1);
    ck_assert_int_eq(a.code, RL_OK);
}
END_TEST

START_TEST(a_call_without_a_deadline_does_not_wait_for_ever)
{
    rl_rpc_server_free(&ends.server);
    struct answer a = ask(&ends, "Say", 1, "", 0);
    ck_assert_int_eq(a.code, RL_E_UNAVAILABLE);
    ck_assert(!rl_rpc_channel_is_up(ends.channel));
}
END_TEST

START_TEST(a_channel_can_stay_connected)
{
    rl_rpc_channel_free(&ends.channel);
    ends.stay_connected = true;
    ends_connect(&ends, OVER_GRPC, "auth");
    turn_until(ends.loop, &ends.up, 1);
    rl_rpc_server_free(&ends.server);
    turn_until(ends.loop, &ends.down, 1);
    ends_serve(&ends, OVER_GRPC);
    turn_until(ends.loop, &ends.up, 2);
    ck_assert(rl_rpc_channel_is_up(ends.channel));
}
END_TEST

START_TEST(a_disconnected_caller_hears_why)
{
    struct heard heard;
    talk(&heard);
    ck_assert_uint_eq(rl_rpc_server_disconnect(ends.server, seen->connection + 1, "no"), 0);
    ck_assert_uint_eq(rl_rpc_server_disconnect(ends.server, seen->connection, "locked"), 1);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_UNAVAILABLE);
    ck_assert_str_eq(heard.message, "locked");
    turn_until(ends.loop, &seen->closed, 1);
}
END_TEST

/* A relay that can fall silent: what it gets it keeps. */
struct relay {
    struct rl_loop *loop;
    int listener, ends[2];
    struct rl_watch *accepting, *watches[2];
    uint16_t to;
    bool is_silent;
};

static void on_relay_bytes(void *context, int fd, unsigned events)
{
    (void)events;
    struct relay *relay = context;
    char bytes[65536];
    int other = fd == relay->ends[0] ? relay->ends[1] : relay->ends[0];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n > 0 && !relay->is_silent)
        ck_assert_int_eq(send(other, bytes, (size_t)n, MSG_NOSIGNAL), n);
    else if (n <= 0)
        rl_watch_stop(&relay->watches[fd == relay->ends[0] ? 0 : 1]);
}

static void on_relay_accept(void *context, int fd, unsigned events)
{
    (void)events;
    struct relay *relay = context;
    int accepted = accept(fd, NULL, NULL);
    if (relay->ends[0] >= 0) { /* one connection is enough */
        close(accepted);
        return;
    }
    relay->ends[0] = accepted;
    char to[32];
    snprintf(to, sizeof to, "127.0.0.1:%u", relay->to);
    ck_assert_int_eq(rl_dial_blocking(to, 2000, &relay->ends[1], NULL), RL_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(rl_watch_start(relay->loop, relay->ends[i], RL_LOOP_READ, on_relay_bytes,
                                        relay, &relay->watches[i], NULL),
                         RL_OK);
}

START_TEST(silence_is_found_out_on_both_sides)
{
    struct relay relay = {.loop = ends.loop, .ends = {-1, -1}, .to = ends.port};
    uint16_t port;
    rl_rpc_server_free(&ends.server);
    rl_rpc_channel_free(&ends.channel);
    ends.keepalive_ms = 200;
    ends_serve(&ends, OVER_GRPC);
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &relay.listener, &port, NULL), RL_OK);
    ck_assert_int_eq(rl_watch_start(ends.loop, relay.listener, RL_LOOP_READ, on_relay_accept,
                                    &relay, &relay.accepting, NULL),
                     RL_OK);
    snprintf(ends.address, sizeof ends.address, "127.0.0.1:%u", port);
    ends_connect(&ends, OVER_GRPC, "auth");
    struct heard heard;
    talk(&heard);
    relay.is_silent = true;
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_eq(heard.code, RL_E_UNAVAILABLE);
    turn_until(ends.loop, &seen->closed, 1);
    ck_assert_int_eq(seen->closed_code, RL_E_CANCELLED);
    rl_watch_stop(&relay.accepting);
    for (int i = 0; i < 2; i++) {
        rl_watch_stop(&relay.watches[i]);
        close(relay.ends[i]);
    }
    close(relay.listener);
}
END_TEST

/* gRPC core's own clients send at most one PING in a second; ours probes when the network changed.
 */
START_TEST(a_client_that_probes_often_is_not_banned)
{
    rl_rpc_channel_free(&ends.channel);
    ends_connect(&ends, OVER_H2, "auth");
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    uint64_t connection = seen->connection;
    for (unsigned i = 0; i < 20; i++) {
        rl_rpc_channel_probe(ends.channel, 5000);
        rl_loop_turn(ends.loop, 10);
    }
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    ck_assert_uint_eq(seen->connection, connection);
    ck_assert_uint_eq(ends.down, 0);
}
END_TEST

static void free_the_channel(void *context, rl_code code, const char *message,
                             const ProtobufCMessage *reply)
{
    (void)message;
    (void)reply;
    unsigned *done = context;
    *done = (unsigned)code + 1;
    rl_rpc_channel_free(&ends.channel);
}

START_TEST(a_channel_may_be_freed_from_the_last_word_of_its_call)
{
    unsigned done = 0;
    struct answer other = {0};
    Cross__Words words = CROSS__WORDS__INIT;
    rl_rpc_unary(ends.channel, &cross__cross__descriptor, "Ponder", &words.base, 0, on_answer,
                 &other, NULL);
    turn_until(ends.loop, &seen->pondering, 1);
    rl_rpc_unary(ends.channel, &cross__cross__descriptor, "Say", &words.base, 5000,
                 free_the_channel, &done, NULL);
    turn_until(ends.loop, &done, 1);
    ck_assert_uint_eq(done, 1);
    ck_assert_uint_eq(other.done, 1);
    ck_assert_int_ne(other.code, RL_OK);
    struct rl_error late = {.code = RL_E_ABORTED};
    rl_rpc_fail(seen->call, &late);
}
END_TEST

static void free_the_server(void *context)
{
    (void)context;
    rl_rpc_server_free(&ends.server);
}

START_TEST(a_server_may_be_freed_from_a_handler)
{
    struct heard heard;
    struct rl_rpc_call *call = talk(&heard);
    seen->on_message = free_the_server;
    say(call, 2, 1);
    turn_until(ends.loop, &heard.closed, 1);
    ck_assert_int_ne(heard.code, RL_OK);
    ck_assert_uint_eq(seen->closed, 1);
    ck_assert_ptr_null(ends.server);
}
END_TEST

START_TEST(an_ipv6_address_reads_as_people_write_it)
{
    rl_rpc_server_free(&ends.server);
    rl_rpc_channel_free(&ends.channel);
    snprintf(ends.address, sizeof ends.address, "[::1]:0");
    ends_serve(&ends, OVER_GRPC);
    snprintf(ends.address, sizeof ends.address, "[::1]:%u", ends.port);
    ends_connect(&ends, OVER_GRPC, "auth");
    ck_assert_int_eq(ask(&ends, "Say", 1, "", 5000).code, RL_OK);
    ck_assert_ptr_eq(strstr(seen->address, "[::1]:"), seen->address);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("grpc");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_server_takes_a_new_certificate_without_a_restart);
    tcase_add_test(t, a_channel_takes_a_new_certificate_for_new_calls);
    tcase_add_test(t, authorities_can_be_exchanged);
    tcase_add_test(t, a_port_is_taken_by_one_server_only);
    tcase_add_test(t, a_certificate_that_expires_ends_the_right_to_call);
    tcase_add_test(t, a_servers_certificate_that_expired_is_refused_with_the_reason);
    tcase_add_test(t, a_dns_name_does_not_make_a_service);
    tcase_add_test(t, a_call_with_a_deadline_waits_for_its_server);
    tcase_add_test(t, a_call_without_a_deadline_does_not_wait_for_ever);
    tcase_add_test(t, a_channel_can_stay_connected);
    tcase_add_test(t, a_disconnected_caller_hears_why);
    tcase_add_test(t, silence_is_found_out_on_both_sides);
    tcase_add_test(t, a_client_that_probes_often_is_not_banned);
    tcase_add_test(t, a_channel_may_be_freed_from_the_last_word_of_its_call);
    tcase_add_test(t, a_server_may_be_freed_from_a_handler);
    tcase_add_test(t, an_ipv6_address_reads_as_people_write_it);
    Suite *s = suite_create("grpc");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
