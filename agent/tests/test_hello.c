#include "world.h"

#include "resource/resource.h"
#include "sshcert/sshkey.h"

#define BROKER "0190c0de-0000-7000-8000-0000000000b0"

static struct rl_error err;

static Pb__AgentMessage *say(uint64_t epoch)
{
    static char broker[] = BROKER;
    static uint8_t nonce[] = {1, 2, 3};
    Pb__Challenge challenge = PB__CHALLENGE__INIT;
    Pb__AgentMessage *message = NULL;
    challenge.broker_id = broker;
    challenge.epoch = epoch;
    challenge.nonce = (ProtobufCBinaryData){sizeof nonce, nonce};
    ck_assert_msg(hello_sign(&w.agent, &challenge, &message, &err) == RL_OK, "%s", err.message);
    ck_assert_int_eq(message->body_case, PB__AGENT_MESSAGE__BODY_HELLO);
    return message;
}

static Pb__Hello *body_of(const Pb__AgentMessage *message)
{
    Pb__Hello *hello =
        pb__hello__unpack(NULL, message->hello->hello.len, message->hello->hello.data);
    ck_assert_ptr_nonnull(hello);
    return hello;
}

START_TEST(a_hello_says_who_to_whom_and_with_what)
{
    Pb__Label **labels = NULL;
    size_t count = 0;
    struct rl_buf host_key;
    ck_assert_int_eq(rl_labels_parse("env=dev,site=edge", &labels, &count, &err), RL_OK);
    w.agent.labels = labels;
    w.agent.label_count = count;
    Pb__AgentMessage *message = say(9);
    Pb__Hello *hello = body_of(message);
    ck_assert_str_eq(hello->agent_id, rl_enrol_id(w.agent.enrol));
    ck_assert_str_eq(hello->broker_id, BROKER);
    ck_assert_uint_eq(hello->epoch, 9);
    ck_assert_uint_eq(hello->nonce.len, 3);
    ck_assert_str_eq(hello->version, RL_VERSION);
    ck_assert_uint_eq(hello->policy_version, 0);
    ck_assert_uint_eq(hello->policy_nonce.len, 16);
    const Pb__Inventory *inventory = hello->inventory;
    ck_assert_str_eq(inventory->hostname, "host-a");
    ck_assert_str_eq(inventory->mode, "tunnel");
    ck_assert_str_eq(inventory->address, "");
    ck_assert_uint_eq(inventory->n_labels, 2);
    ck_assert_str_eq(inventory->labels[1]->value, "edge");
    ck_assert_uint_eq(inventory->n_kinds, 1);
    ck_assert_str_eq(inventory->kinds[0], "node");
    rl_buf_init(&host_key, 1024);
    ck_assert_int_eq(rl_sshkey_public_blob(rl_enrol_ssh_host_key(w.agent.enrol), &host_key, NULL),
                     RL_OK);
    ck_assert(rl_span_equal(RL_SPAN(inventory->ssh_host_key.data, inventory->ssh_host_key.len),
                            rl_buf_span(&host_key)));
    rl_buf_fini(&host_key);
    pb__hello__free_unpacked(hello, NULL);
    pb__agent_message__free_unpacked(message, NULL);
    rl_labels_free(&w.agent.labels, count);
}
END_TEST

START_TEST(a_direct_nodes_hello_says_where)
{
    static char address[] = "node-a.example:3022";
    w.agent.is_direct = true;
    w.agent.settings.advertise = address;
    Pb__AgentMessage *message = say(1);
    Pb__Hello *hello = body_of(message);
    ck_assert_str_eq(hello->inventory->mode, "direct");
    ck_assert_str_eq(hello->inventory->address, address);
    pb__hello__free_unpacked(hello, NULL);
    pb__agent_message__free_unpacked(message, NULL);
}
END_TEST

START_TEST(with_a_policy_it_says_which_and_asks_for_no_nonce)
{
    Pb__PolicyHeld held = PB__POLICY_HELD__INIT;
    uint8_t hash[32];
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    policy_keeper_held(w.agent.policy, &held, hash);
    Pb__AgentMessage *message = say(1);
    Pb__Hello *hello = body_of(message);
    ck_assert_uint_eq(hello->policy_version, 7);
    ck_assert_uint_eq(hello->policy_nonce.len, 0);
    ck_assert(rl_span_equal(RL_SPAN(hello->policy_sha256.data, hello->policy_sha256.len),
                            RL_SPAN(hash, sizeof hash)));
    pb__hello__free_unpacked(hello, NULL);
    pb__agent_message__free_unpacked(message, NULL);
}
END_TEST

START_TEST(the_agents_own_key_signs_every_byte_of_it)
{
    Pb__AgentMessage *message = say(1);
    EVP_PKEY *key = rl_tls_identity_key(rl_enrol_identity(w.agent.enrol));
    struct rl_span signature =
        RL_SPAN(message->hello->signature.data, message->hello->signature.len);
    struct rl_span body = RL_SPAN(message->hello->hello.data, message->hello->hello.len);
    ck_assert_int_eq(rl_key_verify(key, "remoteler-hello-v1", body, signature, NULL), RL_OK);
    ck_assert_int_ne(rl_key_verify(key, "remoteler-ticket-v1", body, signature, NULL), RL_OK);
    message->hello->hello.data[body.n - 1] ^= 1;
    ck_assert_int_ne(rl_key_verify(key, "remoteler-hello-v1", body, signature, NULL), RL_OK);
    pb__agent_message__free_unpacked(message, NULL);
}
END_TEST

START_TEST(what_is_too_long_for_one_hello_is_not_said)
{
    static char value[70000];
    static char key[] = "k";
    Pb__Challenge challenge = PB__CHALLENGE__INIT;
    Pb__AgentMessage *message = NULL;
    Pb__Label label = PB__LABEL__INIT, *labels = &label;
    memset(value, 'v', sizeof value - 1);
    label.key = key;
    label.value = value;
    w.agent.labels = &labels;
    w.agent.label_count = 1;
    ck_assert_int_eq(hello_sign(&w.agent, &challenge, &message, &err), RL_E_EXHAUSTED);
    ck_assert_ptr_null(message);
    w.agent.labels = NULL;
    w.agent.label_count = 0;
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("hello");
    tcase_add_checked_fixture(t, world_make, world_destroy);
    tcase_add_test(t, a_hello_says_who_to_whom_and_with_what);
    tcase_add_test(t, a_direct_nodes_hello_says_where);
    tcase_add_test(t, with_a_policy_it_says_which_and_asks_for_no_nonce);
    tcase_add_test(t, the_agents_own_key_signs_every_byte_of_it);
    tcase_add_test(t, what_is_too_long_for_one_hello_is_not_said);
    return run_suite(t, "hello");
}
