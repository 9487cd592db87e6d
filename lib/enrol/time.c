/* time: what time is it? For one whose own clock may be wrong by years, so that no certificate is
 * good by it, auth's neither. So none is looked at here: nothing secret is said, and nothing is
 * believed but an answer to a nonce, signed by a key that the pinned authority has endorsed.
 * Whoever stole a certificate that has expired can not give it, and an answer that is held back is
 * late by no more than the time that we waited for it. docs/decisions/0024-what-time-it-is.md
 */
#include "bytes/secret.h"
#include "clock/clock.h"
#include "enrol/party.h"

#include <stdlib.h>
#include <string.h>

#define TIME_CONTEXT "remoteler-time-v1"
#define POLICY_KEY_CONTEXT "remoteler-policy-key-v1"
#define TIMEOUT_MS 10000
#define AGAIN_MS 60000 /* a fleet that is refused asks no more often */

static struct rl_span span_of(const ProtobufCBinaryData *data)
{
    return RL_SPAN(data->data, data->len);
}

/* ---- what is believed ---- */

static rl_code refuse(struct rl_error *err, const char *why)
{
    return rl_fail(err, RL_E_UNAUTHENTICATED, "the time that auth tells is not believed: %s", why);
}

static bool is_held(const Pb__TrustBundle *bundle, struct rl_span ca)
{
    for (size_t i = 0; bundle && i < bundle->n_service_cas; i++)
        if (rl_span_equal(span_of(&bundle->service_cas[i]), ca))
            return true;
    return false;
}

static bool has_pin(const char *pin, X509 *ca)
{
    char *own = pin ? rl_identity_pin(ca) : NULL;
    bool is_it = own && strcmp(own, pin) == 0;
    free(own);
    return is_it;
}

/* One of the authorities that we hold; before there are any, the one with the pin. */
static rl_code check_authority(const struct rl_enrol *enrol, struct rl_span der, X509 **out,
                               struct rl_error *err)
{
    const Pb__TrustBundle *bundle = enrol->held->state->trust;
    X509 *ca = NULL;
    if (rl_x509_from_der(der, &ca, NULL) != RL_OK)
        return refuse(err, "it names no authority");
    if (bundle ? is_held(bundle, der) : has_pin(enrol->config.ca_pin, ca)) {
        *out = ca;
        return RL_OK;
    }
    X509_free(ca);
    return refuse(err, "another authority vouches for it");
}

static rl_code check_signatures(const struct rl_enrol *enrol, const Pb__TimeResponse *answer,
                                struct rl_error *err)
{
    X509 *ca = NULL;
    EVP_PKEY *key = NULL;
    struct rl_span policy_key = span_of(&answer->policy_key);
    rl_code code = check_authority(enrol, span_of(&answer->service_ca), &ca, err);
    if (code != RL_OK)
        return code;
    if (rl_key_verify(X509_get0_pubkey(ca), POLICY_KEY_CONTEXT, policy_key,
                      span_of(&answer->endorsement), NULL) != RL_OK ||
        rl_key_from_spki(policy_key, &key, NULL) != RL_OK)
        code = refuse(err, "its key is not endorsed by the cluster's authority");
    else if (rl_key_verify(key, TIME_CONTEXT, span_of(&answer->statement),
                           span_of(&answer->signature), NULL) != RL_OK)
        code = refuse(err, "the signature is wrong");
    EVP_PKEY_free(key);
    X509_free(ca);
    return code;
}

static rl_code read_time(const struct rl_enrol *enrol, const Pb__TimeResponse *answer,
                         int64_t *time_ns, struct rl_error *err)
{
    rl_code code = check_signatures(enrol, answer, err);
    if (code != RL_OK)
        return code;
    Pb__SignedTime *said =
        pb__signed_time__unpack(NULL, answer->statement.len, answer->statement.data);
    if (!said)
        return refuse(err, "it can not be read");
    if (!rl_span_equal(span_of(&said->nonce), RL_SPAN(enrol->nonce, sizeof enrol->nonce)))
        code = refuse(err, "it answers another question");
    else if (*enrol->cluster && strcmp(said->cluster, enrol->cluster) != 0)
        code = refuse(err, "it is another cluster's");
    else
        *time_ns = said->time_ns;
    pb__signed_time__free_unpacked(said, NULL);
    return code;
}

/* ---- asking ---- */

static rl_code hear(struct rl_enrol *enrol, const Pb__TimeResponse *answer, struct rl_error *err)
{
    int64_t time_ns = 0;
    rl_code code = read_time(enrol, answer, &time_ns, err);
    if (code == RL_OK)
        enrol->config.heard_time(enrol->config.context, time_ns);
    return code;
}

static rl_code connect_for_time(struct rl_enrol *enrol, struct rl_error *err)
{
    struct rl_tls_client *tls = NULL;
    char *sni = rl_enrol_sni(enrol);
    const struct rl_tls_client_config anybody = {.insecure = true, .alpn = "h2", .sni = sni};
    rl_code code = rl_tls_client_create(&anybody, &tls, err);
    free(sni);
    if (code != RL_OK)
        return code;
    const struct rl_rpc_channel_config channel = {
        .loop = enrol->config.loop,
        .address = enrol->config.auth_address,
        .tls = tls,
        .http_proxy = enrol->config.http_proxy,
    };
    code = rl_rpc_channel_create_h2(&channel, &enrol->time_channel, err);
    rl_tls_client_unref(&tls);
    return code;
}

static void fill(struct rl_enrol *enrol, Pb__TimeRequest *request)
{
    rl_random(enrol->nonce, sizeof enrol->nonce);
    request->nonce = (ProtobufCBinaryData){sizeof enrol->nonce, enrol->nonce};
    enrol->asked_boot_ms = rl_clock_boot_ms();
}

void rl_enrol_stop_asking(void *context)
{
    struct rl_enrol *enrol = context;
    rl_rpc_channel_free(&enrol->time_channel);
}

static bool can_ask(const struct rl_enrol *enrol)
{
    return enrol->config.heard_time && !enrol->time_channel &&
           (enrol->held->trust || enrol->config.ca_pin);
}

rl_code rl_enrol_wait_for_time(struct rl_enrol *enrol, struct rl_error *err)
{
    Pb__TimeRequest request = PB__TIME_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    if (!can_ask(enrol))
        return rl_fail(err, RL_E_PRECONDITION, "the time can not be asked for now");
    rl_code code = connect_for_time(enrol, err);
    if (code == RL_OK) {
        fill(enrol, &request);
        code = rl_rpc_unary_wait(enrol->time_channel, &pb__auth__descriptor, "Time", &request.base,
                                 TIMEOUT_MS, &reply, err);
    }
    rl_enrol_stop_asking(enrol);
    if (code == RL_OK)
        code = hear(enrol, (const Pb__TimeResponse *)reply, err);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
    return code;
}

static void on_answer(void *context, rl_code code, const char *message,
                      const ProtobufCMessage *reply)
{
    struct rl_enrol *enrol = context;
    struct rl_error err;
    if (enrol->is_closing)
        return;
    rl_task_schedule(enrol->stop_asking); /* outside of the channel's own callbacks */
    if (code == RL_OK)
        code = hear(enrol, (const Pb__TimeResponse *)reply, &err);
    else
        rl_fail(&err, code, "what time it is could not be asked: %s", message);
    if (code == RL_OK)
        rl_enrol_look_again(enrol);
    else if (enrol->config.trouble)
        enrol->config.trouble(enrol->config.context, code, err.message);
}

void rl_enrol_ask_time(struct rl_enrol *enrol)
{
    Pb__TimeRequest request = PB__TIME_REQUEST__INIT;
    bool was_just_asked =
        enrol->asked_boot_ms && rl_clock_boot_ms() - enrol->asked_boot_ms < AGAIN_MS;
    if (was_just_asked || !can_ask(enrol) || connect_for_time(enrol, NULL) != RL_OK)
        return;
    fill(enrol, &request);
    rl_rpc_unary(enrol->time_channel, &pb__auth__descriptor, "Time", &request.base, TIMEOUT_MS,
                 on_answer, enrol, NULL);
}
