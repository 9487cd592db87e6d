#include "world.h"

#include "node.h"

#include <fcntl.h>

#define PATIENCE_MS 20000

/* Instead of the SSH server: counts, and lends a descriptor. */
static int served, asked;
static char served_session[64], served_address[64];
static rl_code serve_code;

rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *err)
{
    (void)node;
    if (serve_code != RL_OK)
        return rl_fail(err, serve_code, "not now");
    served++;
    snprintf(served_session, sizeof served_session, "%s", ticket->session_id);
    char expected[64];
    snprintf(expected, sizeof expected, "%s", served_address);
    snprintf(served_address, sizeof served_address, "%s", ticket->client_address);
    ck_assert_str_ge(served_address, expected); /* in the order of asking */
    *fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return RL_OK;
}

/* What the asker was told. */
struct told {
    int times;
    rl_code code;
    bool had_ticket;
    char message[RL_ERROR_MESSAGE_BYTES], dialler[128];
};

static void on_told(void *context, const struct admission_guest *guest, rl_code code,
                    const char *message)
{
    struct told *told = context;
    int fd = guest ? guest->fd : -1;
    told->times++;
    told->code = code;
    told->had_ticket = guest != NULL;
    snprintf(told->message, sizeof told->message, "%s", message);
    snprintf(told->dialler, sizeof told->dialler, "%s", guest ? guest->dialler : "");
    ck_assert_int_eq(fd >= 0, code == RL_OK && !guest->ticket->resumes);
    if (fd >= 0)
        close(fd);
}

static void set_up(void)
{
    world_make();
    served = 0;
    asked = 0;
    served_session[0] = served_address[0] = '\0';
    serve_code = RL_OK;
}

static struct admission_request *ask(const Pb__SignedTicket *ticket,
                                     const Pb__SignedStatement *statement, struct told *told)
{
    struct admission_request *request = NULL;
    *told = (struct told){0};
    admission_ask(w.agent.admission, ticket, statement, on_told, told, &request);
    return request;
}

static struct admission_request *ask_well(struct told *told)
{
    struct world_ticket t;
    world_ticket_make(&t);
    snprintf(t.address, sizeof t.address, "192.0.2.7:%d", 10000 + asked++);
    Pb__SignedTicket *ticket = world_sign(&t);
    struct admission_request *request = ask(ticket, NULL, told);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    return request;
}

static void hold_policy(uint64_t version)
{
    struct rl_error err;
    ck_assert_msg(world_update(version, world_nonce(), &err) == RL_OK, "%s", err.message);
}

START_TEST(a_good_ticket_is_served_at_once)
{
    struct told told;
    hold_policy(7);
    ck_assert_ptr_null(ask_well(&told));
    ck_assert_int_eq(told.times, 1);
    ck_assert_int_eq(told.code, RL_OK);
    ck_assert_int_eq(served, 1);
    ck_assert_str_eq(served_session, SESSION);
}
END_TEST

START_TEST(a_ticket_that_resumes_is_looked_at_like_any_and_begins_nothing)
{
    struct told told;
    struct world_ticket t;
    world_ticket_make(&t);
    t.ticket.resumes = true;
    Pb__SignedTicket *ticket = world_sign(&t);
    struct admission_request *request = ask(ticket, NULL, &told);
    ck_assert_ptr_nonnull(request); /* policy comes before it */
    ck_assert_int_eq(told.times, 0);
    hold_policy(7);
    admission_policy_changed(w.agent.admission);
    ck_assert_int_eq(told.times, 1);
    ck_assert_int_eq(told.code, RL_OK);
    ck_assert_str_eq(told.dialler, UUID_B);
    ck_assert_int_eq(served, 0);
    ck_assert_ptr_null(ask(ticket, NULL, &told));
    ck_assert_int_eq(told.code, RL_E_DENIED); /* a second time */
    pb__signed_ticket__free_unpacked(ticket, NULL);
}
END_TEST

START_TEST(a_ticket_is_good_once)
{
    struct told told;
    struct world_ticket t;
    hold_policy(7);
    world_ticket_make(&t);
    Pb__SignedTicket *ticket = world_sign(&t);
    ck_assert_ptr_null(ask(ticket, NULL, &told));
    ck_assert_int_eq(told.code, RL_OK);
    ck_assert_ptr_null(ask(ticket, NULL, &told));
    ck_assert_int_eq(told.code, RL_E_DENIED);
    ck_assert_int_eq(served, 1);
    pb__signed_ticket__free_unpacked(ticket, NULL);
}
END_TEST

static void spoil_agent(struct world_ticket *t)
{
    strcpy(t->agent, UUID_B);
}
static void spoil_cluster(struct world_ticket *t)
{
    strcpy(t->cluster, "other");
}
static void spoil_age(struct world_ticket *t)
{
    t->ticket.time_ns -= 61 * SECOND;
}
static void spoil_future(struct world_ticket *t)
{
    t->ticket.time_ns += 90 * SECOND;
}
static void spoil_kind(struct world_ticket *t)
{
    strcpy(t->kind, "kube");
}
static void spoil_session(struct world_ticket *t)
{
    strcpy(t->session, "../../x\n");
}
static void spoil_no_session(struct world_ticket *t)
{
    t->session[0] = '\0';
}
static void spoil_root_session(struct world_ticket *t)
{
    strcpy(t->root, "x");
}
static void spoil_nonce(struct world_ticket *t)
{
    t->ticket.nonce.len = 15;
}

START_TEST(a_bad_ticket_is_refused)
{
    static const struct {
        void (*spoil)(struct world_ticket *t);
        rl_code code;
    } cases[] = {
        {spoil_agent, RL_E_DENIED},     {spoil_cluster, RL_E_DENIED},
        {spoil_age, RL_E_DENIED},       {spoil_future, RL_E_DENIED},
        {spoil_kind, RL_E_NOT_FOUND},   {spoil_session, RL_E_INVAL},
        {spoil_no_session, RL_E_INVAL}, {spoil_root_session, RL_E_DENIED},
        {spoil_nonce, RL_E_INVAL},
    };
    hold_policy(7);
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct told told;
        struct world_ticket t;
        world_ticket_make(&t);
        cases[i].spoil(&t);
        Pb__SignedTicket *ticket = world_sign(&t);
        ck_assert_ptr_null(ask(ticket, NULL, &told));
        ck_assert_int_eq(told.times, 1);
        ck_assert_msg(told.code == cases[i].code, "number %zu: %s", i, told.message);
        ck_assert(!told.had_ticket);
        pb__signed_ticket__free_unpacked(ticket, NULL);
    }
    ck_assert_int_eq(served, 0);
}
END_TEST

/* By a broker of this cluster, for who comes from a root. */
static Pb__SignedTicket *sign_as_broker(const struct world_ticket *t)
{
    X509 *broker = authority_issue(&w.auth.services, UUID_B, "broker", w.proxy_key), *own = w.proxy;
    w.proxy = broker;
    Pb__SignedTicket *ticket = world_sign(t);
    w.proxy = own;
    X509_free(broker);
    return ticket;
}

static void quote_root(struct world_ticket *t)
{
    strcpy(t->root, SESSION);
    t->ticket.root_cluster = (char *)(uintptr_t) "root.example";
    t->ticket.root_proxy_id = (char *)(uintptr_t)UUID_A;
}

static void quote_nothing(struct world_ticket *t)
{
    t->root[0] = '\0';
    t->ticket.root_cluster = t->ticket.root_proxy_id = t->root;
}

static void quote_no_session(struct world_ticket *t)
{
    quote_root(t);
    t->root[0] = '\0';
}

static void quote_no_proxy(struct world_ticket *t)
{
    quote_root(t);
    t->ticket.root_proxy_id = (char *)(uintptr_t) "";
}

static void quote_own_cluster(struct world_ticket *t)
{
    quote_root(t);
    t->ticket.root_cluster = t->cluster;
}

static void quote_no_name(struct world_ticket *t)
{
    quote_root(t);
    t->ticket.root_cluster = (char *)(uintptr_t) "root/../x";
}

static void quote_no_id(struct world_ticket *t)
{
    quote_root(t);
    t->ticket.root_proxy_id = (char *)(uintptr_t) "x";
}

START_TEST(a_broker_speaks_for_who_comes_from_a_root_and_a_proxy_never_does)
{
    static const struct {
        void (*quote)(struct world_ticket *t);
        rl_code as_broker, as_proxy;
    } cases[] = {
        {quote_root, RL_OK, RL_E_DENIED},
        {quote_nothing, RL_E_DENIED, RL_OK},
        {quote_no_session, RL_E_DENIED, RL_E_DENIED},
        {quote_no_proxy, RL_E_DENIED, RL_E_DENIED},
        {quote_own_cluster, RL_E_DENIED, RL_E_DENIED},
        {quote_no_name, RL_E_INVAL, RL_E_DENIED},
        {quote_no_id, RL_E_INVAL, RL_E_DENIED},
    };
    hold_policy(7);
    for (size_t i = 0; i < 2 * RL_COUNT(cases); i++) {
        struct told told;
        struct world_ticket t;
        bool is_broker = i % 2;
        world_ticket_make(&t);
        cases[i / 2].quote(&t);
        Pb__SignedTicket *ticket = is_broker ? sign_as_broker(&t) : world_sign(&t);
        ask(ticket, NULL, &told);
        ck_assert_msg(told.code == (is_broker ? cases[i / 2].as_broker : cases[i / 2].as_proxy),
                      "number %zu: %s", i, told.message);
        if (is_broker && i < 2)
            ck_assert_str_eq(told.dialler, "root.example/" UUID_A);
        pb__signed_ticket__free_unpacked(ticket, NULL);
    }
    ck_assert_int_eq(served, 2);
}
END_TEST

START_TEST(no_ticket_and_one_that_no_proxy_signed_are_refused)
{
    struct told told;
    struct world_ticket t;
    hold_policy(7);
    ck_assert_ptr_null(ask(NULL, NULL, &told));
    ck_assert_int_eq(told.code, RL_E_INVAL);
    world_ticket_make(&t);
    Pb__SignedTicket *ticket = sign_as_broker(&t);
    ck_assert_ptr_null(ask(ticket, NULL, &told));
    ck_assert_int_eq(told.code, RL_E_DENIED);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    ticket = world_sign(&t);
    ticket->ticket.data[5] ^= 1;
    ck_assert_ptr_null(ask(ticket, NULL, &told));
    ck_assert_int_eq(told.code, RL_E_UNAUTHENTICATED);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    ck_assert_int_eq(served, 0);
}
END_TEST

START_TEST(a_statement_that_is_not_auths_refuses_the_ticket_with_it)
{
    struct told told;
    struct world_ticket t;
    hold_policy(7);
    world_ticket_make(&t);
    Pb__SignedTicket *ticket = world_sign(&t);
    Pb__SignedStatement *statement = world_statement(NOW_NS, 7);
    statement->statement.data[3] ^= 1;
    ck_assert_ptr_null(ask(ticket, statement, &told));
    ck_assert_int_ne(told.code, RL_OK);
    ck_assert_int_eq(served, 0);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    pb__signed_statement__free_unpacked(statement, NULL);
}
END_TEST

START_TEST(an_agent_that_is_behind_waits_for_its_policy)
{
    struct told told;
    struct world_ticket t;
    hold_policy(7);
    world_ticket_make(&t);
    Pb__SignedTicket *ticket = world_sign(&t);
    Pb__SignedStatement *statement = world_statement(NOW_NS, 8);
    ck_assert_ptr_nonnull(ask(ticket, statement, &told));
    ck_assert_int_eq(told.times, 0);
    admission_policy_changed(w.agent.admission); /* it has not: nothing happens */
    ck_assert_int_eq(told.times, 0);
    hold_policy(8);
    admission_policy_changed(w.agent.admission);
    ck_assert_int_eq(told.times, 1);
    ck_assert_int_eq(told.code, RL_OK);
    ck_assert_int_eq(served, 1);
    pb__signed_ticket__free_unpacked(ticket, NULL);
    pb__signed_statement__free_unpacked(statement, NULL);
}
END_TEST

START_TEST(an_agent_without_a_policy_waits_and_then_says_so)
{
    struct told told;
    ck_assert_ptr_nonnull(ask_well(&told));
    ck_assert_int_eq(told.times, 0);
    uint64_t until = rl_clock_boot_ms() + PATIENCE_MS;
    while (!told.times && rl_clock_boot_ms() < until)
        rl_loop_turn(w.agent.loop, 100);
    ck_assert_int_eq(told.times, 1);
    ck_assert_int_eq(told.code, RL_E_UNAVAILABLE);
    hold_policy(7);
    admission_policy_changed(w.agent.admission); /* too late */
    ck_assert_int_eq(told.times, 1);
    ck_assert_int_eq(served, 0);
}
END_TEST

START_TEST(who_is_not_wanted_any_more_is_not_told)
{
    struct told told;
    struct admission_request *request = ask_well(&told);
    ck_assert_ptr_nonnull(request);
    admission_cancel(w.agent.admission, &request);
    ck_assert_ptr_null(request);
    admission_cancel(w.agent.admission, &request);
    hold_policy(7);
    admission_policy_changed(w.agent.admission);
    ck_assert_int_eq(told.times, 0);
}
END_TEST

START_TEST(those_who_wait_are_served_in_their_order_up_to_a_maximum)
{
    static struct told told[ADMISSION_WAITING_MAX + 1];
    for (size_t i = 0; i < ADMISSION_WAITING_MAX; i++)
        ck_assert_ptr_nonnull(ask_well(&told[i]));
    ck_assert_ptr_null(ask_well(&told[ADMISSION_WAITING_MAX]));
    ck_assert_int_eq(told[ADMISSION_WAITING_MAX].code, RL_E_EXHAUSTED);
    hold_policy(7);
    admission_policy_changed(w.agent.admission);
    ck_assert_int_eq(served, ADMISSION_WAITING_MAX);
    for (size_t i = 0; i < ADMISSION_WAITING_MAX; i++)
        ck_assert_int_eq(told[i].times, 1);
}
END_TEST

START_TEST(a_node_that_can_not_serve_says_why)
{
    struct told told;
    hold_policy(7);
    serve_code = RL_E_EXHAUSTED;
    ck_assert_ptr_null(ask_well(&told));
    ck_assert_int_eq(told.code, RL_E_EXHAUSTED);
    ck_assert_str_eq(told.message, "not now");
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admission");
    tcase_add_checked_fixture(t, set_up, world_destroy);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_good_ticket_is_served_at_once);
    tcase_add_test(t, a_ticket_that_resumes_is_looked_at_like_any_and_begins_nothing);
    tcase_add_test(t, a_ticket_is_good_once);
    tcase_add_test(t, a_bad_ticket_is_refused);
    tcase_add_test(t, a_broker_speaks_for_who_comes_from_a_root_and_a_proxy_never_does);
    tcase_add_test(t, no_ticket_and_one_that_no_proxy_signed_are_refused);
    tcase_add_test(t, a_statement_that_is_not_auths_refuses_the_ticket_with_it);
    tcase_add_test(t, an_agent_that_is_behind_waits_for_its_policy);
    tcase_add_test(t, an_agent_without_a_policy_waits_and_then_says_so);
    tcase_add_test(t, who_is_not_wanted_any_more_is_not_told);
    tcase_add_test(t, those_who_wait_are_served_in_their_order_up_to_a_maximum);
    tcase_add_test(t, a_node_that_can_not_serve_says_why);
    return run_suite(t, "admission");
}
