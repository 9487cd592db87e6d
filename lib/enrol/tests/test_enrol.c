#include "enrol/enrol.h"

#include "clock/clock.h"
#include "enrol/tests/auth_double.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static struct auth_double auth;
static struct rl_enrol *enrol;
static char base[64], dir[96];
static int changes, troubles;
static struct rl_error last_trouble;

static void on_changed(void *context)
{
    (void)context;
    changes++;
}

static void on_trouble(void *context, rl_code code, const char *message)
{
    (void)context;
    troubles++;
    rl_fail(&last_trouble, code, "%s", message);
}

static void set_up(void)
{
    strcpy(base, "/tmp/rl-enrol-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/data", base);
    changes = troubles = 0;
    enrol = NULL;
    double_create(&auth);
}

static void tear_down(void)
{
    char command[160];
    rl_enrol_close(&enrol);
    double_destroy(&auth);
    snprintf(command, sizeof command, "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

static const char *const kinds[] = {"node"};

static struct rl_enrol_config config_of(const char *kind)
{
    return (struct rl_enrol_config){
        .loop = auth.loop,
        .state_dir = dir,
        .auth_address = auth.address,
        .ca_pin = auth.pin,
        .kind = kind,
        .agent_kinds = kinds,
        .agent_kind_count = 1,
        .node_name = "node-a",
        .hostname = "host",
        .changed = on_changed,
        .trouble = on_trouble,
        .now_s = double_now_s,
        .now_context = &auth,
    };
}

static bool open_with(const struct rl_enrol_config *config)
{
    bool needs_join = false;
    struct rl_error err;
    ck_assert_msg(rl_enrol_open(config, &needs_join, &enrol, &err) == RL_OK, "%s", err.message);
    return needs_join;
}

static bool open_agent(void)
{
    struct rl_enrol_config config = config_of("agent");
    return open_with(&config);
}

static void join_well(void)
{
    struct rl_error err;
    ck_assert_msg(rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, &err) == RL_OK, "%s", err.message);
}

#define TURN_UNTIL(claim)                                                                          \
    do {                                                                                           \
        uint64_t until_ = rl_clock_boot_ms() + PATIENCE_MS;                                        \
        while (!(claim)) {                                                                         \
            ck_assert_msg(rl_clock_boot_ms() < until_, "waited in vain for: %s", #claim);          \
            rl_loop_turn(auth.loop, 20);                                                           \
        }                                                                                          \
    } while (0)

static mode_t mode_of(const char *name)
{
    char path[192];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* ---- joining ---- */

START_TEST(an_agent_joins_by_token_and_pin)
{
    ck_assert(open_agent());
    join_well();
    ck_assert_str_eq(rl_enrol_id(enrol), UUID_A);
    ck_assert_str_eq(rl_enrol_name(enrol), "node-a");
    ck_assert_str_eq(rl_enrol_cluster(enrol), "main");
    ck_assert_str_eq(rl_enrol_message(enrol), "welcome");
    ck_assert_str_eq(auth.last_node_name, "node-a");
    ck_assert_uint_eq(rl_enrol_generation(enrol), 1);
    ck_assert_int_eq(rl_enrol_auth_time_ns(enrol), (int64_t)NOW_S * 1000000000);
    ck_assert_ptr_nonnull(rl_enrol_identity(enrol));
    ck_assert_ptr_nonnull(rl_enrol_ssh_host_key(enrol));
    ck_assert_uint_gt(rl_enrol_ssh_host_certificate(enrol).n, 0);
    ck_assert_str_eq(rl_enrol_bundle(enrol)->ca_pin, auth.pin);
    ck_assert_int_eq(mode_of("."), 0700);
    ck_assert_int_eq(mode_of("identity"), 0600);
}
END_TEST

static rl_code open_with_pin_file(const char *content)
{
    char path[96], pin[100];
    bool needs_join = false;
    struct rl_error err;
    snprintf(path, sizeof path, "%s/ca.pin", base);
    snprintf(pin, sizeof pin, "@%s", path);
    FILE *file = content ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%s\n", content);
        fclose(file);
    }
    struct rl_enrol_config config = config_of("agent");
    config.ca_pin = pin;
    rl_code rc = rl_enrol_open(&config, &needs_join, &enrol, &err);
    ck_assert(rc == RL_OK || strncmp(err.message, "--ca-pin: ", strlen("--ca-pin: ")) == 0);
    return rc;
}

START_TEST(the_pin_may_be_in_a_file)
{
    ck_assert_int_eq(open_with_pin_file(auth.pin), RL_OK);
    join_well();
    ck_assert_str_eq(rl_enrol_cluster(enrol), "main");
}
END_TEST

START_TEST(a_pin_file_that_is_missing_or_empty_is_a_wrong_setting)
{
    ck_assert_int_eq(open_with_pin_file(NULL), RL_E_INVAL);
    ck_assert_int_eq(open_with_pin_file(""), RL_E_INVAL);
}
END_TEST

START_TEST(a_service_joins_without_an_ssh_key)
{
    struct rl_enrol_config config = config_of("broker");
    ck_assert(open_with(&config));
    join_well();
    ck_assert_ptr_null(rl_enrol_ssh_host_key(enrol));
    ck_assert_uint_eq(rl_enrol_ssh_host_certificate(enrol).n, 0);
}
END_TEST

START_TEST(starts_again_without_token_or_network)
{
    struct rl_buf key;
    rl_buf_init(&key, 4096);
    open_agent();
    join_well();
    rl_sshkey_public_blob(rl_enrol_ssh_host_key(enrol), &key, NULL);
    rl_enrol_close(&enrol);
    rl_rpc_server_free(&auth.server);
    ck_assert(!open_agent());
    ck_assert_str_eq(rl_enrol_id(enrol), UUID_A);
    ck_assert_str_eq(rl_enrol_cluster(enrol), "main");
    ck_assert_uint_eq(rl_enrol_generation(enrol), 1);
    ck_assert_ptr_nonnull(rl_enrol_identity(enrol));
    ck_assert_ptr_nonnull(rl_enrol_trust(enrol));
    struct rl_buf again;
    rl_buf_init(&again, 4096);
    rl_sshkey_public_blob(rl_enrol_ssh_host_key(enrol), &again, NULL);
    ck_assert(rl_span_equal(rl_buf_span(&key), rl_buf_span(&again)));
    rl_buf_fini(&key);
    rl_buf_fini(&again);
}
END_TEST

START_TEST(keeps_its_keys_from_before_it_has_joined)
{
    struct rl_buf first, second;
    rl_buf_init(&first, 4096);
    rl_buf_init(&second, 4096);
    open_agent();
    rl_sshkey_public_blob(rl_enrol_ssh_host_key(enrol), &first, NULL);
    rl_enrol_close(&enrol);
    ck_assert(open_agent());
    rl_sshkey_public_blob(rl_enrol_ssh_host_key(enrol), &second, NULL);
    ck_assert(rl_span_equal(rl_buf_span(&first), rl_buf_span(&second)));
    rl_buf_fini(&first);
    rl_buf_fini(&second);
}
END_TEST

START_TEST(auths_own_words_come_back)
{
    struct rl_error err;
    open_agent();
    ck_assert_int_eq(rl_enrol_join(enrol, "another", PATIENCE_MS, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "join token unknown");
    ck_assert_ptr_null(rl_enrol_identity(enrol));
    join_well();
}
END_TEST

START_TEST(does_not_join_an_auth_of_another_pin)
{
    struct rl_error err;
    char *other = rl_identity_pin(auth.hosts.ca);
    struct rl_enrol_config config = config_of("agent");
    config.ca_pin = other;
    open_with(&config);
    free(other);
    ck_assert_int_eq(rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, &err), RL_E_UNAUTHENTICATED);
    ck_assert_ptr_nonnull(strstr(err.message, "with the pin"));
    ck_assert_int_eq(auth.joins, 0);
}
END_TEST

START_TEST(does_not_join_without_a_pin_unless_told_to)
{
    struct rl_enrol_config config = config_of("agent");
    config.ca_pin = NULL;
    open_with(&config);
    ck_assert_int_eq(rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, NULL), RL_E_INVAL);
    ck_assert_int_eq(auth.joins, 0);
    rl_enrol_close(&enrol);
    config.insecure = true;
    open_with(&config);
    join_well();
}
END_TEST

START_TEST(an_auth_that_is_away_is_worth_another_try)
{
    open_agent();
    rl_rpc_server_free(&auth.server);
    ck_assert_int_eq(rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, NULL), RL_E_UNAVAILABLE);
    double_start(&auth);
    struct rl_enrol_config config = config_of("agent");
    rl_enrol_close(&enrol);
    ck_assert(open_with(&config));
    join_well();
}
END_TEST

START_TEST(an_answer_that_does_not_hold_together_is_not_used)
{
    static const enum wrong wrongs[] = {
        NO_TRUST,   OTHER_KEY,       OTHER_ID,           OTHER_GENERATION,
        OTHER_KIND, OTHER_AUTHORITY, NO_SSH_CERTIFICATE, SSH_CERTIFICATE_FOR_ANOTHER};
    open_agent();
    for (size_t i = 0; i < RL_COUNT(wrongs); i++) {
        auth.wrong = wrongs[i];
        rl_code code = rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, NULL);
        ck_assert_msg(code == RL_E_INTERNAL || code == RL_E_UNAUTHENTICATED, "wrong %d: %s",
                      (int)wrongs[i], rl_code_name(code));
        ck_assert_ptr_null(rl_enrol_identity(enrol));
    }
    auth.wrong = RIGHT;
    join_well();
}
END_TEST

START_TEST(joins_again_under_its_old_id_and_key)
{
    open_agent();
    join_well();
    struct rl_buf key;
    rl_buf_init(&key, 4096);
    rl_buf_put_span(&key, rl_buf_span(&auth.tls_key));
    join_well();
    ck_assert_str_eq(auth.last_agent_id, UUID_A);
    ck_assert(rl_span_equal(rl_buf_span(&key), rl_buf_span(&auth.tls_key)));
    ck_assert_uint_eq(rl_enrol_generation(enrol), 2);
    rl_buf_fini(&key);
}
END_TEST

START_TEST(who_was_off_for_longer_than_its_certificate_joins_again_under_its_old_id)
{
    ck_assert(open_agent());
    ck_assert(!rl_enrol_has_expired(enrol)); /* it never had one */
    join_well();
    ck_assert(!rl_enrol_has_expired(enrol));
    rl_enrol_close(&enrol);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S + 1;
    ck_assert(!open_agent());
    ck_assert(rl_enrol_has_expired(enrol));
    auth.now_s = NOW_S; /* the double's own certificate is of the same age */
    join_well();
    ck_assert_str_eq(auth.last_agent_id, UUID_A);
    ck_assert_str_eq(rl_enrol_id(enrol), UUID_A);
    ck_assert(!rl_enrol_has_expired(enrol));
}
END_TEST

START_TEST(who_was_off_for_longer_than_its_certificate_renews_when_it_is_back)
{
    ck_assert(open_agent());
    join_well();
    rl_enrol_close(&enrol);
    rl_trust_set_return_grace(auth.trust, 86400);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S + 86400 - 60;
    ck_assert(!open_agent());
    ck_assert(rl_enrol_has_expired(enrol));
    struct rl_error err;
    ck_assert_msg(rl_enrol_return(enrol, PATIENCE_MS, &err) == RL_OK, "%s", err.message);
    ck_assert(!rl_enrol_has_expired(enrol));
    ck_assert_str_eq(rl_enrol_id(enrol), UUID_A);
    ck_assert_uint_eq(rl_enrol_generation(enrol), 2);
    ck_assert_int_eq(auth.joins, 1);
}
END_TEST

START_TEST(who_was_off_for_too_long_is_told_so)
{
    struct rl_error err;
    ck_assert(open_agent());
    join_well();
    rl_enrol_close(&enrol);
    rl_trust_set_return_grace(auth.trust, 86400);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S + 86400 + 2;
    ck_assert(!open_agent());
    ck_assert_int_eq(rl_enrol_return(enrol, PATIENCE_MS, &err), RL_E_UNAUTHENTICATED);
    ck_assert_msg(strstr(err.message, "expired") != NULL, "%s", err.message);
    rl_enrol_keep(enrol); /* and tries again, now and then */
    TURN_UNTIL(troubles == 1);
    ck_assert_int_eq(auth.renewals, 0);
}
END_TEST

/* ---- the state on disk ---- */

static void expect_not_opened(const struct rl_enrol_config *config, const char *words)
{
    bool needs_join;
    struct rl_error err;
    ck_assert_int_eq(rl_enrol_open(config, &needs_join, &enrol, &err), RL_E_INVAL);
    ck_assert_ptr_null(enrol);
    ck_assert_msg(strstr(err.message, words) != NULL, "\"%s\" does not say \"%s\"", err.message,
                  words);
}

START_TEST(a_state_of_another_kind_or_cluster_is_refused)
{
    open_agent();
    join_well();
    rl_enrol_close(&enrol);
    struct rl_enrol_config config = config_of("proxy");
    expect_not_opened(&config, "another --data-dir");
    char *other = rl_identity_pin(auth.hosts.ca);
    config = config_of("agent");
    config.ca_pin = other;
    expect_not_opened(&config, "was joined to cluster main");
    free(other);
    config.ca_pin = NULL;
    ck_assert(!open_with(&config));
}
END_TEST

START_TEST(a_damaged_state_is_refused_and_not_replaced)
{
    char path[192];
    struct rl_enrol_config config = config_of("agent");
    open_agent();
    join_well();
    rl_enrol_close(&enrol);
    snprintf(path, sizeof path, "%s/identity", dir);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size - 1), 0);
    expect_not_opened(&config, "is damaged");
    ck_assert_int_eq(truncate(path, 0), 0);
    expect_not_opened(&config, "is damaged");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(a_file_of_the_owners_own_is_kept_beside_it)
{
    struct rl_buf out;
    rl_buf_init(&out, 64);
    open_agent();
    ck_assert_int_eq(rl_enrol_load(enrol, "policy", 64, &out, NULL), RL_E_NOT_FOUND);
    ck_assert_int_eq(rl_enrol_save(enrol, "policy", rl_span_of("rules"), NULL), RL_OK);
    ck_assert_int_eq(rl_enrol_load(enrol, "policy", 64, &out, NULL), RL_OK);
    ck_assert_str_eq(rl_buf_text(&out), "rules");
    ck_assert_int_eq(mode_of("policy"), 0600);
    rl_buf_fini(&out);
}
END_TEST

/* ---- renewing ---- */

START_TEST(renews_at_a_third_of_its_life_with_a_new_key)
{
    open_agent();
    join_well();
    X509 *old = rl_tls_identity_certificate(rl_enrol_identity(enrol));
    X509_up_ref(old);
    const char *id = rl_enrol_id(enrol), *cluster = rl_enrol_cluster(enrol);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 3 - 60;
    rl_enrol_keep(enrol);
    for (int i = 0; i < 20; i++)
        rl_loop_turn(auth.loop, 5);
    ck_assert_int_eq(auth.renewals, 0);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 3 + CERTIFICATE_LIFE_S / 30 + 1;
    rl_enrol_keep(enrol);
    TURN_UNTIL(changes == 1);
    ck_assert_int_eq(auth.renewals, 1);
    ck_assert_uint_eq(rl_enrol_generation(enrol), 2);
    X509 *new = rl_tls_identity_certificate(rl_enrol_identity(enrol));
    ck_assert_int_ne(EVP_PKEY_eq(X509_get0_pubkey(old), X509_get0_pubkey(new)), 1);
    X509_free(old);
    for (int i = 0; i < 20; i++)
        rl_loop_turn(auth.loop, 5);
    ck_assert_int_eq(auth.renewals, 1);
    /* Whoever borrowed these has them still. */
    ck_assert_ptr_eq(id, rl_enrol_id(enrol));
    ck_assert_ptr_eq(cluster, rl_enrol_cluster(enrol));
    rl_enrol_close(&enrol);
    ck_assert(!open_agent());
    ck_assert_uint_eq(rl_enrol_generation(enrol), 2);
}
END_TEST

static void turn_a_while(void)
{
    for (int i = 0; i < 20; i++)
        rl_loop_turn(auth.loop, 5);
}

START_TEST(renews_when_another_authority_signs_now_or_somebody_refused)
{
    uint8_t own[32], other[32] = {1};
    open_agent();
    join_well();
    const Pb__TrustBundle *bundle = rl_enrol_bundle(enrol);
    ck_assert_int_eq(EVP_Digest(bundle->host_cas[0].data, bundle->host_cas[0].len, own, NULL,
                                EVP_sha256(), NULL),
                     1);
    rl_enrol_expect_issuer(enrol, RL_SPAN(other, sizeof other), 1);
    turn_a_while();
    ck_assert_int_eq(auth.renewals, 0); /* it is not kept yet */
    rl_enrol_keep(enrol);
    rl_enrol_expect_issuer(enrol, RL_SPAN(own, sizeof own), 1);
    rl_enrol_expect_issuer(enrol, RL_SPAN(NULL, 0), 1); /* an auth that says nothing of it */
    turn_a_while();
    ck_assert_int_eq(auth.renewals, 0);
    rl_enrol_expect_issuer(enrol, RL_SPAN(other, sizeof other), 1);
    TURN_UNTIL(auth.renewals == 1 && changes == 1);
    rl_enrol_refused(enrol, 0);
    auth.now_s += 5; /* somewhere within a few seconds */
    TURN_UNTIL(auth.renewals == 2 && changes == 2);
    rl_enrol_refused(enrol, 0);
    auth.now_s += 60;
    turn_a_while();
    ck_assert_int_eq(auth.renewals, 2); /* not again and again */
}
END_TEST

START_TEST(takes_the_authorities_that_auth_tells_and_keeps_them)
{
    struct rl_error err;
    char other[] = "other.example";
    open_agent();
    join_well();
    Pb__TrustBundle bundle = *rl_enrol_bundle(enrol);
    ck_assert_int_eq(rl_enrol_take_trust(enrol, &bundle, &err), RL_OK);
    ck_assert_int_eq(changes, 0); /* the same */
    ck_assert_uint_gt(bundle.n_user_cas, 0);
    bundle.n_user_cas = 0;
    ck_assert_int_eq(rl_enrol_take_trust(enrol, &bundle, &err), RL_OK);
    ck_assert_int_eq(changes, 1);
    rl_enrol_close(&enrol);
    ck_assert(!open_agent());
    ck_assert_uint_eq(rl_enrol_bundle(enrol)->n_user_cas, 0);
    bundle = *rl_enrol_bundle(enrol);
    bundle.cluster = other;
    ck_assert_int_eq(rl_enrol_take_trust(enrol, &bundle, &err), RL_E_INVAL);
}
END_TEST

START_TEST(a_lost_answer_is_asked_for_with_the_same_key)
{
    open_agent();
    join_well();
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 2;
    auth.lose_answer = true;
    rl_enrol_keep(enrol);
    TURN_UNTIL(troubles == 1);
    ck_assert_int_eq(last_trouble.code, RL_E_UNAVAILABLE);
    ck_assert_uint_eq(auth.generation, 2);
    ck_assert_uint_eq(rl_enrol_generation(enrol), 1);
    /* the process ends; the one after it goes on where this one was */
    rl_enrol_close(&enrol);
    auth.lose_answer = false;
    ck_assert(!open_agent());
    ck_assert_uint_eq(rl_enrol_generation(enrol), 1);
    rl_enrol_keep(enrol);
    TURN_UNTIL(changes == 1);
    ck_assert_uint_eq(auth.generation, 2);
    ck_assert_uint_eq(rl_enrol_generation(enrol), 2);
}
END_TEST

START_TEST(a_refused_renewal_is_told_and_keeps_what_there_is)
{
    open_agent();
    join_well();
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 2;
    rl_fail(&auth.refusal, RL_E_DENIED, "locked: stolen");
    rl_enrol_keep(enrol);
    TURN_UNTIL(troubles == 1);
    ck_assert_int_eq(last_trouble.code, RL_E_DENIED);
    ck_assert_str_eq(last_trouble.message, "locked: stolen");
    ck_assert_int_eq(changes, 0);
    ck_assert_uint_eq(rl_enrol_generation(enrol), 1);
    ck_assert_ptr_nonnull(rl_enrol_identity(enrol));
}
END_TEST

START_TEST(a_renewal_can_not_make_another_of_it)
{
    open_agent();
    join_well();
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 2;
    auth.id = UUID_B;
    rl_enrol_keep(enrol);
    TURN_UNTIL(troubles == 1);
    ck_assert_ptr_nonnull(strstr(last_trouble.message, "another party"));
    ck_assert_str_eq(rl_enrol_id(enrol), UUID_A);
}
END_TEST

START_TEST(can_be_closed_while_a_renewal_is_under_way)
{
    open_agent();
    join_well();
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 2;
    rl_enrol_keep(enrol);
    rl_loop_turn(auth.loop, 10);
    rl_loop_turn(auth.loop, 10);
    rl_enrol_close(&enrol);
    for (int i = 0; i < 10; i++)
        rl_loop_turn(auth.loop, 5);
    ck_assert_int_eq(changes, 0);
}
END_TEST

/* ---- a clock that is wrong ---- */

#define DAY_S INT64_C(86400)

static int64_t wrong_now_s; /* what the machine says, until auth has told the time */
static int heard;

static int64_t machine_now_s(void *context)
{
    (void)context;
    return wrong_now_s;
}

static void on_heard_time(void *context, int64_t time_ns)
{
    (void)context;
    wrong_now_s = time_ns / 1000000000;
    heard++;
}

static void open_with_clock(int64_t now_s)
{
    struct rl_enrol_config config = config_of("agent");
    config.now_s = machine_now_s;
    config.now_context = NULL;
    config.heard_time = on_heard_time;
    wrong_now_s = now_s;
    heard = 0;
    open_with(&config);
}

static const int64_t wrong_clocks_s[] = {0, NOW_S - 365 * DAY_S, NOW_S + 3650 * DAY_S};

START_TEST(joins_whatever_its_clock_says)
{
    open_with_clock(wrong_clocks_s[_i]);
    join_well();
    ck_assert_int_eq(heard, 1);
    ck_assert_int_eq(wrong_now_s, NOW_S);
}
END_TEST

START_TEST(renews_whatever_its_clock_says)
{
    open_agent();
    join_well();
    rl_enrol_close(&enrol);
    open_with_clock(wrong_clocks_s[_i]);
    auth.now_s = NOW_S + CERTIFICATE_LIFE_S / 2;
    rl_enrol_keep(enrol);
    rl_enrol_ask_time(enrol); /* somebody's certificate was refused */
    rl_enrol_ask_time(enrol);
    TURN_UNTIL(changes == 1);
    ck_assert_int_eq(auth.renewals, 1);
    ck_assert_int_eq(auth.times, 1);
    rl_enrol_ask_time(enrol); /* not again and again */
    turn_a_while();
    ck_assert_int_eq(auth.times, 1);
}
END_TEST

START_TEST(a_certificate_that_only_the_clock_calls_expired_is_kept)
{
    open_agent();
    join_well();
    rl_enrol_close(&enrol);
    open_with_clock(NOW_S + 3650 * DAY_S);
    ck_assert(rl_enrol_has_expired(enrol));
    ck_assert_int_eq(rl_enrol_return(enrol, PATIENCE_MS, NULL), RL_OK);
    ck_assert(!rl_enrol_has_expired(enrol));
    ck_assert_int_eq(auth.renewals, 0);
}
END_TEST

START_TEST(a_time_that_the_pinned_authority_does_not_stand_for_is_not_believed)
{
    struct rl_error err;
    auth.wrong_time = (enum wrong_time)_i;
    open_with_clock(NOW_S + 3650 * DAY_S);
    if (_i != OTHER_CLUSTER) /* nobody has said yet which one it is */
        ck_assert_int_eq(rl_enrol_join(enrol, JOIN_TOKEN, PATIENCE_MS, &err), RL_E_UNAUTHENTICATED);
    else
        join_well();
    ck_assert_int_eq(auth.times, 1);
    ck_assert_int_eq(heard, _i == OTHER_CLUSTER);
    rl_enrol_close(&enrol);

    open_agent();
    join_well();
    rl_enrol_close(&enrol);
    open_with_clock(NOW_S + 3650 * DAY_S);
    troubles = 0;
    rl_enrol_ask_time(enrol);
    TURN_UNTIL(troubles == 1);
    ck_assert_int_eq(last_trouble.code, RL_E_UNAUTHENTICATED);
    ck_assert_int_eq(heard, 0);
}
END_TEST

START_TEST(can_be_closed_while_it_asks_for_the_time)
{
    open_with_clock(0);
    rl_enrol_ask_time(enrol);
    rl_loop_turn(auth.loop, 10);
    rl_enrol_close(&enrol);
    turn_a_while();
    ck_assert_int_eq(heard, 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("enrol");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_agent_joins_by_token_and_pin);
    tcase_add_test(t, the_pin_may_be_in_a_file);
    tcase_add_test(t, a_pin_file_that_is_missing_or_empty_is_a_wrong_setting);
    tcase_add_test(t, a_service_joins_without_an_ssh_key);
    tcase_add_test(t, starts_again_without_token_or_network);
    tcase_add_test(t, keeps_its_keys_from_before_it_has_joined);
    tcase_add_test(t, auths_own_words_come_back);
    tcase_add_test(t, does_not_join_an_auth_of_another_pin);
    tcase_add_test(t, does_not_join_without_a_pin_unless_told_to);
    tcase_add_test(t, an_auth_that_is_away_is_worth_another_try);
    tcase_add_test(t, an_answer_that_does_not_hold_together_is_not_used);
    tcase_add_test(t, joins_again_under_its_old_id_and_key);
    tcase_add_test(t, who_was_off_for_longer_than_its_certificate_joins_again_under_its_old_id);
    tcase_add_test(t, who_was_off_for_longer_than_its_certificate_renews_when_it_is_back);
    tcase_add_test(t, who_was_off_for_too_long_is_told_so);
    tcase_add_test(t, a_state_of_another_kind_or_cluster_is_refused);
    tcase_add_test(t, a_damaged_state_is_refused_and_not_replaced);
    tcase_add_test(t, a_file_of_the_owners_own_is_kept_beside_it);
    tcase_add_test(t, renews_at_a_third_of_its_life_with_a_new_key);
    tcase_add_test(t, renews_when_another_authority_signs_now_or_somebody_refused);
    tcase_add_test(t, takes_the_authorities_that_auth_tells_and_keeps_them);
    tcase_add_test(t, a_lost_answer_is_asked_for_with_the_same_key);
    tcase_add_test(t, a_refused_renewal_is_told_and_keeps_what_there_is);
    tcase_add_test(t, a_renewal_can_not_make_another_of_it);
    tcase_add_test(t, can_be_closed_while_a_renewal_is_under_way);
    tcase_add_loop_test(t, joins_whatever_its_clock_says, 0, RL_COUNT(wrong_clocks_s));
    tcase_add_loop_test(t, renews_whatever_its_clock_says, 0, RL_COUNT(wrong_clocks_s));
    tcase_add_test(t, a_certificate_that_only_the_clock_calls_expired_is_kept);
    tcase_add_loop_test(t, a_time_that_the_pinned_authority_does_not_stand_for_is_not_believed,
                        NO_ENDORSEMENT, ENDORSED_BY_A_STRANGER + 1);
    tcase_add_test(t, can_be_closed_while_it_asks_for_the_time);
    Suite *s = suite_create("enrol");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
