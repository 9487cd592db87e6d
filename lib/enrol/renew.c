/* renew: at a third of the certificate's life, and after a failure again. The new key is on disk
 * before it is sent: when the answer is lost, auth is asked for the same key again and knows that
 * it is not a second holder of one identity. */
#include "enrol/answer.h"
#include "enrol/party.h"

#include "bytes/secret.h"
#include "clock/clock.h"
#include "sshcert/sshkey.h"

#define CALL_TIMEOUT_MS 30000
/* The clock may be set meanwhile: look again after this long at the latest. */
#define SLEEP_S_MAX (6 * 3600)
#define RETRY_S_FIRST 30
#define RETRY_S_MAX 3600
#define RETRY_DOUBLINGS_MAX 7
#define REFUSED_MS 600000
/* A fleet is refused at once: it comes within what auth told it for such a time, but nobody waits
 * for long who can not work until then. */
#define REFUSED_WITHIN_S_MIN 3
#define REFUSED_WITHIN_S_MAX 300

/* From 0 to below limit. */
static uint64_t random_below(uint64_t limit)
{
    uint64_t value;
    rl_random(&value, sizeof value);
    return limit ? value % limit : 0;
}

static void sleep_s(struct rl_enrol *enrol, uint64_t delay_s)
{
    rl_timer_arm(enrol->timer, delay_s * 1000);
}

static void sleep_until_due(struct rl_enrol *enrol)
{
    int64_t left_s = enrol->renew_at_s - rl_enrol_now_s(enrol);
    sleep_s(enrol, left_s < 0 ? 0 : left_s > SLEEP_S_MAX ? SLEEP_S_MAX : (uint64_t)left_s);
}

/* A third of its life, and up to a thirtieth later: a fleet that joined at once does not come back
 * at once. One that was under way goes on now. */
void rl_enrol_schedule(struct rl_enrol *enrol)
{
    int64_t from_s, until_s;
    rl_held_times(enrol->held, &from_s, &until_s);
    uint64_t life_s = until_s > from_s ? (uint64_t)(until_s - from_s) : 0;
    enrol->failures = 0;
    enrol->renew_at_s = from_s + (int64_t)(life_s / 3 + random_below(life_s / 30));
    if (enrol->held->next_tls_key)
        enrol->renew_at_s = 0;
    sleep_until_due(enrol);
}

void rl_enrol_keep(struct rl_enrol *enrol)
{
    RL_ASSERT(enrol->held->tls);
    enrol->is_kept = true;
    rl_enrol_schedule(enrol);
}

static void renew_within(struct rl_enrol *enrol, uint64_t within_s)
{
    int64_t now_s = rl_enrol_now_s(enrol);
    if (enrol->is_kept && enrol->failures && !enrol->channel)
        sleep_s(enrol, random_below(within_s)); /* due, and it waits to be tried again */
    if (!enrol->is_kept || enrol->renew_at_s <= now_s + (int64_t)within_s)
        return; /* it is due by then as it is */
    enrol->renew_at_s = now_s + (int64_t)random_below(within_s);
    sleep_until_due(enrol);
}

void rl_enrol_expect_issuer(struct rl_enrol *enrol, struct rl_span ca_sha256, uint64_t within_s)
{
    const Pb__EnrolState *state = enrol->held->state;
    uint8_t hash[32];
    if (ca_sha256.n != sizeof hash || state->n_tls_chain < 2 ||
        EVP_Digest(state->tls_chain[1].data, state->tls_chain[1].len, hash, NULL, EVP_sha256(),
                   NULL) != 1 ||
        rl_span_equal(RL_SPAN(hash, sizeof hash), ca_sha256))
        return;
    renew_within(enrol, within_s);
}

void rl_enrol_refused(struct rl_enrol *enrol, uint64_t within_s)
{
    uint64_t now_ms = rl_clock_boot_ms(); /* the other one may be put right meanwhile */
    if (enrol->refused_boot_ms && now_ms - enrol->refused_boot_ms < REFUSED_MS)
        return;
    enrol->refused_boot_ms = now_ms;
    renew_within(enrol, within_s < REFUSED_WITHIN_S_MIN   ? REFUSED_WITHIN_S_MIN
                        : within_s > REFUSED_WITHIN_S_MAX ? REFUSED_WITHIN_S_MAX
                                                          : within_s);
}

static void retry_later(struct rl_enrol *enrol, const struct rl_error *err)
{
    uint32_t doublings =
        enrol->failures < RETRY_DOUBLINGS_MAX ? enrol->failures : RETRY_DOUBLINGS_MAX;
    uint64_t span_s = (uint64_t)RETRY_S_FIRST << doublings;
    if (span_s > RETRY_S_MAX)
        span_s = RETRY_S_MAX;
    enrol->failures++;
    sleep_s(enrol, span_s / 2 + random_below(span_s / 2));
    if (err->code == RL_E_UNAUTHENTICATED || enrol->down.code == RL_E_UNAUTHENTICATED)
        rl_enrol_ask_time(enrol);
    if (enrol->config.trouble)
        enrol->config.trouble(enrol->config.context, err->code, err->message);
}

/* The state with the key to come: made and kept on disk, or left over from the last try. */
static rl_code prepare(struct rl_enrol *enrol, const struct rl_held **out, struct rl_error *err)
{
    struct rl_buf packed;
    rl_code code = RL_OK;
    if (!enrol->renewal && !enrol->held->next_tls_key) {
        rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
        code = rl_held_begin_renewal(enrol->held, &packed, err);
        if (code == RL_OK)
            code = rl_directory_write(enrol->directory, RL_ENROL_FILE, rl_buf_span(&packed), err);
        if (code == RL_OK)
            code = rl_held_read(rl_buf_span(&packed), &enrol->renewal, err);
        rl_buf_fini(&packed);
    }
    if (code == RL_OK)
        *out = enrol->renewal ? enrol->renewal : enrol->held;
    return code;
}

static rl_code use_answer(struct rl_enrol *enrol, const Pb__JoinResponse *answer,
                          struct rl_error *err)
{
    struct rl_buf packed;
    const struct rl_held *asked = enrol->renewal ? enrol->renewal : enrol->held;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    rl_code code = rl_answer_accept(asked, asked->next_tls_key, &asked->state->next_tls_key, NULL,
                                    answer, &packed, err);
    if (code == RL_OK)
        code = rl_enrol_adopt(enrol, rl_buf_span(&packed), err);
    rl_buf_fini(&packed);
    return code;
}

static void on_answer(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct rl_enrol *enrol = context;
    struct rl_error err;
    if (enrol->is_closing)
        return;
    rl_task_schedule(enrol->hang_up);
    if (code == RL_OK)
        code = use_answer(enrol, (const Pb__JoinResponse *)reply, &err);
    else
        rl_fail(&err, code, "%s", message);
    if (code != RL_OK) {
        retry_later(enrol, &err);
        return;
    }
    rl_enrol_schedule(enrol);
    if (enrol->config.changed)
        enrol->config.changed(enrol->config.context);
}

/* What a renewal says; its buffers. */
struct asking {
    Pb__RenewRequest request;
    struct rl_buf tls_key, ssh_key, proof;
};

static void asking_init(struct asking *a)
{
    pb__renew_request__init(&a->request);
    rl_buf_init(&a->tls_key, RL_ENROL_STATE_BYTES_MAX);
    rl_buf_init(&a->ssh_key, RL_ENROL_STATE_BYTES_MAX);
    rl_buf_init(&a->proof, RL_ENROL_STATE_BYTES_MAX);
}

static void asking_fini(struct asking *a)
{
    rl_buf_fini(&a->tls_key);
    rl_buf_fini(&a->ssh_key);
    rl_buf_fini(&a->proof);
}

static void fill_request(const struct rl_enrol *enrol, const struct rl_held *asked,
                         struct asking *a)
{
    static char version[] = RL_VERSION;
    const struct rl_enrol_config *config = &enrol->config;
    Pb__RenewRequest *request = &a->request;
    request->tls_public_key = (ProtobufCBinaryData){a->tls_key.n, a->tls_key.p};
    request->ssh_public_key = (ProtobufCBinaryData){a->ssh_key.n, a->ssh_key.p};
    request->proof = (ProtobufCBinaryData){a->proof.n, a->proof.p};
    request->generation = asked->state->generation;
    request->n_addresses = config->address_count;
    request->addresses = (char **)(uintptr_t)config->addresses;
    request->version = version;
    if (config->advertise_address)
        request->advertise_address = (char *)(uintptr_t)config->advertise_address;
}

/* The request, and a channel for it. */
static rl_code prepare_request(struct rl_enrol *enrol, struct asking *a, struct rl_error *err)
{
    const struct rl_held *asked = NULL;
    rl_code code = prepare(enrol, &asked, err);
    if (code == RL_OK)
        code = rl_key_to_spki(asked->next_tls_key, &a->tls_key, err);
    if (code == RL_OK && asked->ssh_key)
        code = rl_sshkey_public_blob(asked->ssh_key, &a->ssh_key, err);
    if (code == RL_OK)
        code = rl_proof_renew(asked->next_tls_key, rl_tls_identity_certificate(asked->tls),
                              &a->proof, err);
    if (code == RL_OK)
        code = rl_enrol_connect(enrol, true, err);
    if (code == RL_OK)
        fill_request(enrol, asked, a);
    return code;
}

static rl_code begin(struct rl_enrol *enrol, struct rl_error *err)
{
    struct asking a;
    asking_init(&a);
    rl_code code = prepare_request(enrol, &a, err);
    if (code == RL_OK)
        rl_rpc_unary(enrol->channel, &pb__fleet__descriptor, "Renew", &a.request.base,
                     CALL_TIMEOUT_MS, on_answer, enrol, NULL);
    asking_fini(&a);
    return code;
}

static rl_code renew_now(struct rl_enrol *enrol, uint32_t timeout_ms, struct rl_error *err)
{
    struct asking a;
    ProtobufCMessage *reply = NULL;
    asking_init(&a);
    rl_code code = prepare_request(enrol, &a, err);
    if (code == RL_OK)
        code = rl_rpc_unary_wait(enrol->channel, &pb__fleet__descriptor, "Renew", &a.request.base,
                                 timeout_ms, &reply, err);
    rl_enrol_disconnect(enrol);
    if (code == RL_E_UNAVAILABLE && enrol->down.code != RL_OK)
        code = rl_fail(err, enrol->down.code, "%s", enrol->down.message);
    if (code == RL_OK)
        code = use_answer(enrol, (const Pb__JoinResponse *)reply, err);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
    asking_fini(&a);
    return code;
}

rl_code rl_enrol_return(struct rl_enrol *enrol, uint32_t timeout_ms, struct rl_error *err)
{
    RL_ASSERT(enrol->held->tls && !enrol->is_kept);
    rl_enrol_wait_for_time(enrol, NULL); /* if not, auth judges by its own clock */
    return rl_enrol_has_expired(enrol) ? renew_now(enrol, timeout_ms, err) : RL_OK;
}

void rl_enrol_look_again(struct rl_enrol *enrol)
{
    enrol->clock_was_set = enrol->channel != NULL;
    if (enrol->is_kept && !enrol->channel)
        sleep_until_due(enrol);
}

void rl_enrol_on_timer(void *context)
{
    struct rl_enrol *enrol = context;
    struct rl_error err;
    if (rl_enrol_now_s(enrol) < enrol->renew_at_s)
        sleep_until_due(enrol);
    else if (begin(enrol, &err) != RL_OK)
        retry_later(enrol, &err);
}

void rl_enrol_on_hang_up(void *context)
{
    struct rl_enrol *enrol = context;
    rl_enrol_disconnect(enrol);
    if (enrol->clock_was_set)
        rl_enrol_look_again(enrol);
}
