/* A broker that lies: what it relays is auth's or a proxy's word, and an agent takes no other. */
#include "broker_double.h"

static void set_up(void)
{
    world_make();
}

static void tear_down(void)
{
    world_free();
}

/* ---- what the broker says ---- */

struct policy_of {
    const char *cluster, *agent_id;
    uint64_t version;
    struct signer *signer;
    bool with_nonce;
};

static void send_policy(struct policy_of how)
{
    Pb__PolicyUpdate *update = NULL;
    struct rl_policy *policy = rl_policy_create();
    set_text(policy, "unknown/a", "1");
    struct rl_span nonce = RL_SPAN(w->policy_nonce, how.with_nonce ? w->policy_nonce_n : 0);
    ck_assert_int_eq(rl_policy_seal(policy, NULL, how.cluster ? how.cluster : "main",
                                    how.agent_id ? how.agent_id : UUID_A, how.version,
                                    NOW_S * SECOND, nonce,
                                    (how.signer ? how.signer : &w->policy_signer)->key, "policy-1",
                                    &update, NULL),
                     RL_OK);
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_POLICY;
    message.policy = update;
    say(&message);
    pb__policy_update__free_unpacked(update, NULL);
    rl_policy_unref(&policy);
}

static uint64_t version_held(void)
{
    const struct rl_policy *policy = policy_keeper_policy(w->agent.policy);
    return policy ? rl_policy_version(policy) : 0;
}

static void give_policy(uint64_t version)
{
    send_policy((struct policy_of){.version = version, .with_nonce = true});
    TURN_UNTIL(version_held() == version);
}

static Pb__SignedTicket *ticket_of(const char *agent_id, const char *kind, int64_t age_s,
                                   unsigned number, const struct rl_tls_identity *signer)
{
    Pb__SignedTicket *out = NULL;
    uint8_t bytes[16] = {(uint8_t)number, (uint8_t)(number >> 8)};
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.cluster = (char *)(uintptr_t) "main";
    ticket.session_id = (char *)(uintptr_t)SESSION;
    ticket.agent_id = (char *)(uintptr_t)agent_id;
    ticket.target_kind = (char *)(uintptr_t)kind;
    ticket.client_address = (char *)(uintptr_t) "192.0.2.1:4096";
    ticket.time_ns = agent_now_ns(&w->agent) - age_s * SECOND;
    ticket.nonce = (ProtobufCBinaryData){16, bytes};
    ck_assert_int_eq(rl_ticket_sign(&ticket, rl_tls_identity_key(signer),
                                    rl_tls_identity_certificate(signer), &out, NULL),
                     RL_OK);
    return out;
}

static Pb__SignedStatement *statement_of(uint64_t version, const struct signer *signer)
{
    Pb__SignedStatement *out = NULL;
    ck_assert_int_eq(rl_statement_sign("main", NOW_S * SECOND, version, RL_SPAN(NULL, 0),
                                       signer->key, "policy-1", &out, NULL),
                     RL_OK);
    return out;
}

static uint8_t stream_id[17] = {0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* Takes ticket and statement. */
static void send_open(size_t stream_id_n, Pb__SignedTicket *ticket, Pb__SignedStatement *statement)
{
    Pb__Open open = PB__OPEN__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    open.stream_id = (ProtobufCBinaryData){stream_id_n, stream_id};
    open.ticket = ticket;
    open.statement = statement;
    message.body_case = PB__BROKER_MESSAGE__BODY_OPEN;
    message.open = &open;
    say(&message);
    if (ticket)
        pb__signed_ticket__free_unpacked(ticket, NULL);
    if (statement)
        pb__signed_statement__free_unpacked(statement, NULL);
}

static void expect_refusal(rl_code code, const char *part)
{
    int before = w->refusals, served = w->served;
    TURN_UNTIL(w->refusals > before);
    ck_assert_msg(w->refused == code && strstr(w->refusal, part), "%s: %s (not: %s, %s)",
                  rl_code_name(w->refused), w->refusal, rl_code_name(code), part);
    ck_assert_int_eq(w->served, served);
    ck_assert_int_eq(w->carries, served);
}

/* ---- the tests ---- */

START_TEST(an_agent_signs_its_hello_for_this_broker_and_challenge_only)
{
    ck_assert_int_eq(w->hellos, 1);
    ck_assert(w->is_hello_good);
    ck_assert_uint_eq(w->policy_nonce_n, 16); /* it holds nothing: it asks for a fresh seal */
}
END_TEST

START_TEST(an_honest_open_is_answered_by_a_carry_with_its_id_and_epoch)
{
    give_policy(1);
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, w->proxy_id), statement_of(1, &w->policy_signer));
    TURN_UNTIL(w->carries == 1);
    ck_assert_mem_eq(w->joined, stream_id, 16);
    ck_assert_uint_eq(w->joined_epoch, EPOCH);
    ck_assert_int_eq(w->served, 1);
    ck_assert_str_eq(w->served_session, SESSION);
}
END_TEST

/* Who says that he comes again, and for which session. */
struct comer {
    const char *session_id;
    const struct rl_tls_identity *proxy;
    uint8_t user;
    bool resumes;
    int64_t proxy_start_ns;
    const char *root, *root_proxy; /* by a leaf's broker: where he comes from */
};

#define ROOT_SESSION "0190c0de-0000-4000-8000-0000000000aa"

static void send_comer(struct comer comer)
{
    static uint8_t number = 100;
    Pb__SignedTicket *signed_ticket = NULL;
    uint8_t nonce[16] = {++number}, user[32] = {comer.user};
    Pb__Ticket ticket = PB__TICKET__INIT;
    ticket.cluster = (char *)(uintptr_t) "main";
    ticket.session_id = (char *)(uintptr_t)comer.session_id;
    ticket.agent_id = (char *)(uintptr_t)UUID_A;
    ticket.target_kind = (char *)(uintptr_t) "ssh";
    ticket.client_address = (char *)(uintptr_t) "192.0.2.1:4096";
    ticket.time_ns = agent_now_ns(&w->agent);
    ticket.nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    ticket.user_certificate_sha256 = (ProtobufCBinaryData){sizeof user, user};
    ticket.features = RL_TUNNEL_FEATURE_RESUME;
    ticket.resumes = comer.resumes;
    ticket.proxy_start_ns = comer.proxy_start_ns;
    if (comer.root) {
        ticket.root_cluster = (char *)(uintptr_t)comer.root;
        ticket.root_proxy_id = (char *)(uintptr_t)comer.root_proxy;
        ticket.root_session_id = (char *)(uintptr_t)ROOT_SESSION;
    }
    ck_assert_int_eq(rl_ticket_sign(&ticket, rl_tls_identity_key(comer.proxy),
                                    rl_tls_identity_certificate(comer.proxy), &signed_ticket, NULL),
                     RL_OK);
    send_open(16, signed_ticket, statement_of(1, &w->policy_signer));
}

START_TEST(a_session_is_resumed_by_its_own_proxy_for_its_own_user_only)
{
    struct rl_tls_identity *other_proxy = service_of("proxy", UUID_A);
    give_policy(1);
    send_comer((struct comer){SESSION, w->proxy_id, 1, false, 0, NULL, NULL});
    TURN_UNTIL(w->carries == 1 && w->carry);
    rl_rpc_raw_finish(w->carry, RL_E_UNAVAILABLE, "a hop died");
    TURN_UNTIL(!w->carry);
    const struct comer strangers[] = {
        {SESSION, other_proxy, 1, true, 0, NULL, NULL},
        {SESSION, w->proxy_id, 2, true, 0, NULL, NULL},
        {"0190c0de-0000-4000-8000-00000000005f", w->proxy_id, 1, true, 0, NULL, NULL},
    };
    for (size_t i = 0; i < RL_COUNT(strangers); i++) {
        send_comer(strangers[i]);
        expect_refusal(RL_E_NOT_FOUND, "no such session");
    }
    send_comer((struct comer){SESSION, w->proxy_id, 1, true, 0, NULL, NULL});
    TURN_UNTIL(w->carries == 2 && w->resumes == 1);
    ck_assert_int_eq(w->served, 1);
    /* Once more, though the agent has not noticed that the last one died. */
    send_comer((struct comer){SESSION, w->proxy_id, 1, true, 0, NULL, NULL});
    TURN_UNTIL(w->carries == 3 && w->resumes == 2);
    ck_assert_int_eq(w->served, 1);
    rl_tls_identity_unref(&other_proxy);
}
END_TEST

START_TEST(who_comes_from_a_root_resumes_by_any_broker_for_the_same_proxy_there)
{
    struct rl_tls_identity *other = service_of("broker", UUID_A);
    give_policy(1);
    send_comer((struct comer){SESSION, w->broker_id, 1, false, 0, "root", UUID_A});
    TURN_UNTIL(w->carries == 1 && w->carry);
    rl_rpc_raw_finish(w->carry, RL_E_UNAVAILABLE, "a hop died");
    TURN_UNTIL(!w->carry);
    const struct comer strangers[] = {
        {SESSION, other, 1, true, 0, "root", UUID_B},
        {SESSION, other, 1, true, 0, "toor", UUID_A},
        {SESSION, other, 2, true, 0, "root", UUID_A},
        {SESSION, w->proxy_id, 1, true, 0, NULL, NULL},
    };
    for (size_t i = 0; i < RL_COUNT(strangers); i++) {
        send_comer(strangers[i]);
        expect_refusal(RL_E_NOT_FOUND, "no such session");
    }
    send_comer((struct comer){SESSION, other, 1, true, 0, "root", UUID_A});
    TURN_UNTIL(w->carries == 2 && w->resumes == 1);
    ck_assert_str_eq(w->resumed_session, ROOT_SESSION); /* as his proxy knows it */
    ck_assert_int_eq(w->served, 1);
    rl_tls_identity_unref(&other);
}
END_TEST

START_TEST(a_proxy_that_was_started_again_ends_what_it_carried_before)
{
    static const char others[] = "0190c0de-0000-4000-8000-0000000000e1";
    static const char new[] = "0190c0de-0000-4000-8000-0000000000e2";
    struct rl_tls_identity *other_proxy = service_of("proxy", UUID_A);
    give_policy(1);
    send_comer((struct comer){SESSION, w->proxy_id, 1, false, 1000, NULL, NULL});
    TURN_UNTIL(w->carries == 1 && w->carry);
    rl_rpc_raw_finish(w->carry, RL_E_ABORTED, "the proxy was killed");
    TURN_UNTIL(!w->carry);
    /* Another proxy that is younger says nothing of this one. */
    send_comer((struct comer){others, other_proxy, 1, false, 2000, NULL, NULL});
    TURN_UNTIL(w->carries == 2 && w->carry);
    send_comer((struct comer){SESSION, w->proxy_id, 1, true, 1000, NULL, NULL});
    TURN_UNTIL(w->carries == 3 && w->resumes == 1);
    rl_rpc_raw_finish(w->carry, RL_E_ABORTED, "the proxy was killed");
    TURN_UNTIL(!w->carry);
    send_comer((struct comer){new, w->proxy_id, 1, false, 1001, NULL, NULL});
    TURN_UNTIL(w->carries == 4 && w->carry);
    send_comer((struct comer){SESSION, w->proxy_id, 1, true, 1001, NULL, NULL});
    TURN_UNTIL(w->refusals == 1);
    ck_assert_int_eq(w->refused, RL_E_NOT_FOUND);
    ck_assert_int_eq(w->resumes, 1);
    rl_tls_identity_unref(&other_proxy);
}
END_TEST

START_TEST(a_policy_is_auths_for_this_agent_and_answers_its_nonce)
{
    const struct policy_of wrong[] = {
        {.version = 1}, /* an old one, replayed to a device that has none */
        {.version = 1, .with_nonce = true, .agent_id = UUID_B},
        {.version = 1, .with_nonce = true, .cluster = "other"},
        {.version = 1, .with_nonce = true, .signer = &w->stranger},
    };
    for (size_t i = 0; i < RL_COUNT(wrong); i++)
        send_policy(wrong[i]);
    give_policy(2); /* comes after them, on the same stream */
    TURN_UNTIL(w->held == 2);
    ck_assert_int_eq(w->helds, 1); /* none of the others was taken */
}
END_TEST

START_TEST(an_older_policy_is_refused_and_also_after_a_restart)
{
    give_policy(5);
    send_policy((struct policy_of){.version = 4, .with_nonce = true});
    give_policy(6);
    agent_close();
    agent_open();
    ck_assert_uint_eq(version_held(), 6);
    ck_assert_uint_eq(w->policy_nonce_n, 0); /* what is on the disk is its floor */
    send_policy((struct policy_of){.version = 5});
    send_policy((struct policy_of){.version = 7});
    TURN_UNTIL(version_held() == 7);
    TURN_UNTIL(w->held == 7);
    ck_assert_int_eq(w->helds, 1); /* none of the others was taken */
}
END_TEST

/* The statement of the minute may be a minute old: what it tells audit would be, too. */
START_TEST(who_has_just_started_wants_a_policy_of_now)
{
    give_policy(5);
    agent_close();
    w->has_heard_no_time = true;
    agent_open();
    ck_assert_uint_eq(version_held(), 5);
    ck_assert_uint_eq(w->policy_nonce_n, 16);
    send_policy((struct policy_of){.version = 5, .with_nonce = true});
    TURN_UNTIL(w->helds == 1);
    ck_assert_int_ge(rl_trusted_clock_age_s(&w->agent.clock), 0);
}
END_TEST

START_TEST(a_ticket_is_a_proxys_for_this_agent_of_this_minute_and_good_once)
{
    give_policy(1);
    send_open(16, NULL, NULL);
    expect_refusal(RL_E_INVAL, "ticket");
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, w->broker_id), NULL);
    expect_refusal(RL_E_DENIED, "not for who comes from a root");
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, rl_enrol_identity(w->agent.enrol)), NULL);
    expect_refusal(RL_E_DENIED, "not by a proxy");
    send_open(16, ticket_of(UUID_B, "ssh", 0, 1, w->proxy_id), NULL);
    expect_refusal(RL_E_DENIED, "another agent");
    send_open(16, ticket_of(UUID_A, "ssh", 300, 1, w->proxy_id), NULL);
    expect_refusal(RL_E_DENIED, "older");
    send_open(16, ticket_of(UUID_A, "ssh", -300, 1, w->proxy_id), NULL);
    expect_refusal(RL_E_DENIED, "future");
    send_open(16, ticket_of(UUID_A, "ssh", 0, 2, w->proxy_id), NULL);
    TURN_UNTIL(w->served == 1 && w->carries == 1);
    send_open(16, ticket_of(UUID_A, "ssh", 0, 2, w->proxy_id), NULL);
    expect_refusal(RL_E_DENIED, "used before");
}
END_TEST

START_TEST(a_forged_client_address_breaks_the_ticket)
{
    give_policy(1);
    Pb__SignedTicket *ticket = ticket_of(UUID_A, "ssh", 0, 1, w->proxy_id);
    uint8_t *at = memmem(ticket->ticket.data, ticket->ticket.len, "192.0.2.1", 9);
    ck_assert_ptr_nonnull(at);
    at[8] = '2';
    send_open(16, ticket, NULL);
    expect_refusal(RL_E_UNAUTHENTICATED, "ticket");
}
END_TEST

START_TEST(nothing_is_dialled_that_is_not_registered)
{
    give_policy(1);
    static const char *const kinds[] = {"app", "kube", "auth", "", "ssh "};
    for (size_t i = 0; i < RL_COUNT(kinds); i++) {
        send_open(16, ticket_of(UUID_A, kinds[i], 0, (unsigned)(10 + i), w->proxy_id), NULL);
        expect_refusal(RL_E_NOT_FOUND, "serves ssh");
    }
}
END_TEST

START_TEST(a_stream_id_has_16_bytes)
{
    give_policy(1);
    static const size_t sizes[] = {0, 1, 15, 17};
    for (size_t i = 0; i < RL_COUNT(sizes); i++) {
        send_open(sizes[i], ticket_of(UUID_A, "ssh", 0, (unsigned)i, w->proxy_id), NULL);
        expect_refusal(RL_E_INVAL, "16 bytes");
    }
}
END_TEST

START_TEST(whoever_withholds_a_lock_keeps_everybody_out)
{
    give_policy(1);
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, w->proxy_id), statement_of(2, &w->policy_signer));
    expect_refusal(RL_E_UNAVAILABLE, "newer policy"); /* after ADMISSION_WAIT_MS */
    /* the version stays heard, also when the statement is left out or an older one comes */
    send_open(16, ticket_of(UUID_A, "ssh", 0, 2, w->proxy_id), statement_of(1, &w->policy_signer));
    rl_loop_turn(w->auth.loop, 50);
    ck_assert_int_eq(w->served, 0);
    give_policy(2); /* and whoever waited is let in */
    TURN_UNTIL(w->served == 1 && w->carries == 1);
}
END_TEST

START_TEST(a_statement_is_auths)
{
    give_policy(1);
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, w->proxy_id), statement_of(1, &w->stranger));
    expect_refusal(RL_E_UNAUTHENTICATED, "statement");
}
END_TEST

START_TEST(without_a_policy_nobody_comes_in)
{
    send_open(16, ticket_of(UUID_A, "ssh", 0, 1, w->proxy_id), NULL);
    rl_loop_turn(w->auth.loop, 50);
    ck_assert_int_eq(w->served, 0);
    give_policy(1);
    TURN_UNTIL(w->served == 1);
}
END_TEST

START_TEST(those_who_wait_for_a_policy_have_a_number)
{
    for (unsigned i = 0; i <= ADMISSION_WAITING_MAX; i++)
        send_open(16, ticket_of(UUID_A, "ssh", 0, i, w->proxy_id), NULL);
    expect_refusal(RL_E_EXHAUSTED, "too many");
}
END_TEST

static void send_drain(uint32_t come_back_ms)
{
    Pb__Drain drain = PB__DRAIN__INIT;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    drain.come_back_ms = come_back_ms;
    message.body_case = PB__BROKER_MESSAGE__BODY_DRAIN;
    message.drain = &drain;
    say(&message);
}

START_TEST(an_agent_that_is_asked_to_move_comes_back_even_if_it_is_not_let_go)
{
    int hellos = w->hellos;
    send_drain(100);
    TURN_UNTIL(w->hellos > hellos);
    w->holds_on = true;
    send_drain(0);
    TURN_UNTIL(w->hellos > hellos + 1);
}
END_TEST

START_TEST(no_hello_is_signed_in_another_brokers_name)
{
    int hellos = w->hellos, challenges = w->challenges;
    w->lies_about_itself = true;
    send_drain(0);
    TURN_UNTIL(w->challenges > challenges + 1); /* asked, dropped, asked again */
    ck_assert_int_eq(w->hellos, hellos);
    w->lies_about_itself = false;
    TURN_UNTIL(w->hellos > hellos);
}
END_TEST

/* Replicas share the keys of their tickets, and a resumed session shows the certificate of the one
 * that it was made with. */
START_TEST(another_broker_that_resumes_the_session_of_the_last_is_recognised)
{
    struct rl_tls_identity *other = service_of("broker", UUID_A);
    int hellos = w->hellos, challenges = w->challenges;
    ck_assert_int_eq(rl_tls_server_reload(w->tls, other, NULL, NULL), RL_OK);
    w->lies_about_itself = true; /* no lie any more */
    send_drain(0);
    TURN_UNTIL(w->hellos > hellos);
    ck_assert_int_eq(w->challenges, challenges + 2); /* the first to the resumed session */
    rl_tls_identity_unref(&other);
}
END_TEST

START_TEST(no_hello_is_said_to_a_broker_that_has_forgotten_this_protocol)
{
    int hellos = w->hellos, challenges = w->challenges;
    w->protocol_min = RL_PROTOCOL + 1;
    send_drain(0);
    TURN_UNTIL(w->challenges > challenges + 1);
    ck_assert_int_eq(w->hellos, hellos);
    w->protocol_min = 0;
    TURN_UNTIL(w->hellos > hellos);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("broker");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_agent_signs_its_hello_for_this_broker_and_challenge_only);
    tcase_add_test(t, an_honest_open_is_answered_by_a_carry_with_its_id_and_epoch);
    tcase_add_test(t, who_comes_from_a_root_resumes_by_any_broker_for_the_same_proxy_there);
    tcase_add_test(t, a_proxy_that_was_started_again_ends_what_it_carried_before);
    tcase_add_test(t, a_session_is_resumed_by_its_own_proxy_for_its_own_user_only);
    tcase_add_test(t, a_policy_is_auths_for_this_agent_and_answers_its_nonce);
    tcase_add_test(t, who_has_just_started_wants_a_policy_of_now);
    tcase_add_test(t, an_older_policy_is_refused_and_also_after_a_restart);
    tcase_add_test(t, a_ticket_is_a_proxys_for_this_agent_of_this_minute_and_good_once);
    tcase_add_test(t, a_forged_client_address_breaks_the_ticket);
    tcase_add_test(t, nothing_is_dialled_that_is_not_registered);
    tcase_add_test(t, a_stream_id_has_16_bytes);
    tcase_add_test(t, whoever_withholds_a_lock_keeps_everybody_out);
    tcase_add_test(t, a_statement_is_auths);
    tcase_add_test(t, without_a_policy_nobody_comes_in);
    tcase_add_test(t, those_who_wait_for_a_policy_have_a_number);
    tcase_add_test(t, an_agent_that_is_asked_to_move_comes_back_even_if_it_is_not_let_go);
    tcase_add_test(t, no_hello_is_signed_in_another_brokers_name);
    tcase_add_test(t, another_broker_that_resumes_the_session_of_the_last_is_recognised);
    tcase_add_test(t, no_hello_is_said_to_a_broker_that_has_forgotten_this_protocol);
    Suite *s = suite_create("agent/broker");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
