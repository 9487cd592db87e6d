/* enrol: opening, joining, and what is held. */
#include "enrol/enrol.h"

#include "clock/clock.h"
#include "enrol/answer.h"
#include "enrol/party.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>

#define NAMELESS_SNI "auth" RL_TLS_SNI_SUFFIX

int64_t rl_enrol_now_s(const struct rl_enrol *enrol)
{
    const struct rl_enrol_config *config = &enrol->config;
    return config->now_s ? config->now_s(config->now_context) : rl_clock_wall_s();
}

static int64_t now_s(void *context)
{
    return rl_enrol_now_s(context);
}

/* ---- the connection to auth ---- */

static void on_down(void *context, rl_code code, const char *message)
{
    struct rl_enrol *enrol = context;
    rl_fail(&enrol->down, code == RL_OK ? RL_E_UNAVAILABLE : code, "%s", message);
}

char *rl_enrol_sni(const struct rl_enrol *enrol)
{
    const struct rl_trust *trust = enrol->held->trust;
    return trust ? rl_sprintf("auth.%s" RL_TLS_SNI_SUFFIX, rl_trust_cluster(trust))
                 : rl_strdup(NAMELESS_SNI);
}

static rl_code create_tls(struct rl_enrol *enrol, bool with_own, struct rl_error *err)
{
    const struct rl_held *held = enrol->held;
    const struct rl_enrol_config *config = &enrol->config;
    bool by_pin = !with_own && config->ca_pin;
    char *sni = rl_enrol_sni(enrol);
    const struct rl_tls_client_config tls = {
        .identity = with_own ? held->tls : NULL,
        .trust = by_pin ? NULL : held->trust,
        .pin = config->ca_pin,
        .insecure = !held->trust && !config->ca_pin && config->insecure,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
        .now_s = now_s,
        .now_context = enrol,
    };
    rl_code code = rl_tls_client_create(&tls, &enrol->tls, err);
    free(sni);
    return code;
}

rl_code rl_enrol_connect(struct rl_enrol *enrol, bool with_own, struct rl_error *err)
{
    rl_enrol_disconnect(enrol);
    enrol->down.code = RL_OK;
    rl_code code = create_tls(enrol, with_own, err);
    if (code != RL_OK)
        return code;
    const struct rl_rpc_channel_config channel = {
        .loop = enrol->config.loop,
        .address = enrol->config.auth_address,
        .tls = enrol->tls,
        .down = on_down,
        .context = enrol,
        .http_proxy = enrol->config.http_proxy,
        .now_s = now_s,
        .now_context = enrol,
    };
    return rl_rpc_channel_create_h2(&channel, &enrol->channel, err);
}

void rl_enrol_disconnect(struct rl_enrol *enrol)
{
    rl_rpc_channel_free(&enrol->channel);
    rl_tls_client_unref(&enrol->tls);
}

/* ---- opening ---- */

static rl_code write_state(struct rl_enrol *enrol, struct rl_span packed, struct rl_error *err)
{
    return rl_directory_write(enrol->directory, RL_ENROL_FILE, packed, err);
}

static rl_code read_state(struct rl_enrol *enrol, struct rl_buf *packed, struct rl_error *err)
{
    rl_code code =
        rl_directory_read(enrol->directory, RL_ENROL_FILE, RL_ENROL_STATE_BYTES_MAX, packed, err);
    if (code != RL_E_NOT_FOUND)
        return code;
    code = rl_held_begin(enrol->config.kind, packed, err);
    return code == RL_OK ? write_state(enrol, rl_buf_span(packed), err) : code;
}

static void keep(char **kept, const char *text)
{
    if (*kept && strcmp(*kept, text) == 0)
        return;
    free(*kept);
    *kept = rl_strdup(text);
}

/* Who has borrowed these keeps them over every renewal: an instance has one id in one cluster. */
static void keep_names(struct rl_enrol *enrol)
{
    keep(&enrol->id, enrol->held->state->id);
    keep(&enrol->cluster, enrol->held->trust ? rl_trust_cluster(enrol->held->trust) : "");
}

/* Is it this party's, and of the cluster that the pin stands for? */
static rl_code check_state(const struct rl_enrol *enrol, struct rl_error *err)
{
    const struct rl_held *held = enrol->held;
    const char *path = rl_directory_path(enrol->directory);
    if (strcmp(held->state->kind, enrol->config.kind) != 0)
        return rl_fail(err, RL_E_INVAL, "%s holds the identity of %s %s; use another --data-dir",
                       path, strcmp(held->state->kind, "agent") == 0 ? "an" : "a",
                       held->state->kind);
    if (held->tls && enrol->config.ca_pin && !rl_held_has_pin(held, enrol->config.ca_pin))
        return rl_fail(err, RL_E_INVAL,
                       "%s was joined to cluster %s, which has another --ca-pin; use another "
                       "--data-dir",
                       path, rl_trust_cluster(held->trust));
    return RL_OK;
}

static rl_code load(struct rl_enrol *enrol, struct rl_error *err)
{
    struct rl_buf packed;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    rl_code code = read_state(enrol, &packed, err);
    if (code == RL_OK) {
        code = rl_held_read(rl_buf_span(&packed), &enrol->held, err);
        if (code != RL_OK)
            rl_error_prefix(
                err, "the identity in %s is damaged (move the directory away and join again)",
                rl_directory_path(enrol->directory));
    }
    if (code == RL_OK)
        code = check_state(enrol, err);
    if (code == RL_OK)
        keep_names(enrol);
    rl_buf_fini(&packed);
    return code;
}

rl_code rl_enrol_open(const struct rl_enrol_config *config, bool *needs_join, struct rl_enrol **out,
                      struct rl_error *err)
{
    RL_ASSERT(config->loop && config->state_dir && config->auth_address && config->kind);
    struct rl_enrol *enrol = rl_alloc(sizeof *enrol);
    rl_enrol_config_copy(config, &enrol->config);
    enrol->message = rl_strdup("");
    enrol->timer = rl_timer_create(config->loop, rl_enrol_on_timer, enrol);
    enrol->hang_up = rl_task_create(config->loop, rl_enrol_on_hang_up, enrol);
    enrol->stop_asking = rl_task_create(config->loop, rl_enrol_stop_asking, enrol);
    rl_code code = rl_enrol_config_read_pin(&enrol->config, err);
    if (code == RL_OK)
        code = rl_directory_open(enrol->config.state_dir, enrol->config.in_memory,
                                 &enrol->directory, err);
    if (code == RL_OK)
        code = load(enrol, err);
    if (code != RL_OK) {
        rl_enrol_close(&enrol);
        return code;
    }
    *needs_join = !enrol->held->tls;
    *out = enrol;
    return RL_OK;
}

void rl_enrol_close(struct rl_enrol **enrol)
{
    struct rl_enrol *gone = enrol ? *enrol : NULL;
    if (!gone)
        return;
    *enrol = NULL;
    gone->is_closing = true;
    rl_enrol_disconnect(gone);
    rl_enrol_stop_asking(gone);
    rl_timer_free(&gone->timer);
    rl_task_free(&gone->hang_up);
    rl_task_free(&gone->stop_asking);
    rl_held_free(&gone->renewal);
    rl_held_free(&gone->held);
    rl_directory_close(&gone->directory);
    rl_enrol_config_fini(&gone->config);
    free(gone->message);
    free(gone->id);
    free(gone->cluster);
    free(gone);
}

rl_code rl_enrol_adopt(struct rl_enrol *enrol, struct rl_span packed, struct rl_error *err)
{
    struct rl_held *held = NULL;
    rl_code code = rl_held_read(packed, &held, err);
    if (code == RL_OK)
        code = write_state(enrol, packed, err);
    if (code != RL_OK) {
        rl_held_free(&held);
        return code;
    }
    rl_held_free(&enrol->renewal);
    rl_held_free(&enrol->held);
    enrol->held = held;
    keep_names(enrol);
    return RL_OK;
}

static rl_code put_trust(struct rl_enrol *enrol, const Pb__TrustBundle *bundle,
                         struct rl_error *err)
{
    struct rl_buf packed;
    Pb__EnrolState state = *enrol->held->state;
    state.trust = (Pb__TrustBundle *)(uintptr_t)bundle;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    rl_code code = rl_held_pack(&state, &packed, err);
    if (code == RL_OK)
        code = rl_enrol_adopt(enrol, rl_buf_span(&packed), err);
    rl_buf_fini(&packed);
    return code;
}

static bool is_same_trust(const Pb__TrustBundle *a, const Pb__TrustBundle *b)
{
    uint8_t one[32], other[32];
    rl_trust_bundle_hash(a, one);
    rl_trust_bundle_hash(b, other);
    return memcmp(one, other, sizeof one) == 0;
}

rl_code rl_enrol_take_trust(struct rl_enrol *enrol, const Pb__TrustBundle *bundle,
                            struct rl_error *err)
{
    const struct rl_held *held = enrol->held;
    if (strcmp(bundle->cluster, rl_enrol_cluster(enrol)) != 0)
        return rl_fail(err, RL_E_INVAL, "these are the authorities of cluster %s, not of %s",
                       bundle->cluster, rl_enrol_cluster(enrol));
    if (enrol->renewal || held->next_tls_key || is_same_trust(held->state->trust, bundle))
        return RL_OK;
    rl_code code = put_trust(enrol, bundle, err);
    if (code == RL_OK && enrol->config.changed)
        enrol->config.changed(enrol->config.context);
    return code;
}

/* ---- joining ---- */

static char *borrow(const char *text)
{
    static char nothing[] = "";
    return text ? (char *)(uintptr_t)text : nothing;
}

static void fill_request(const struct rl_enrol *enrol, Pb__JoinRequest *request)
{
    static char version[] = RL_VERSION;
    const struct rl_enrol_config *config = &enrol->config;
    request->kind = borrow(config->kind);
    request->n_agent_kinds = config->agent_kind_count;
    request->agent_kinds = (char **)(uintptr_t)config->agent_kinds;
    request->node_name = borrow(config->node_name);
    request->hostname = borrow(config->hostname);
    request->n_labels = config->label_count;
    request->labels = (Pb__Label **)(uintptr_t)config->labels;
    request->agent_id = enrol->held->state->id;
    request->version = version;
    request->unprivileged = config->unprivileged;
    request->n_addresses = config->address_count;
    request->addresses = (char **)(uintptr_t)config->addresses;
    request->advertise_address = borrow(config->advertise_address);
}

static rl_code ask_once(struct rl_enrol *enrol, const Pb__JoinRequest *request, uint32_t timeout_ms,
                        Pb__JoinResponse **answer, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    rl_code code = rl_enrol_connect(enrol, false, err);
    if (code == RL_OK)
        code = rl_rpc_unary_wait(enrol->channel, &pb__auth__descriptor, "Join", &request->base,
                                 timeout_ms, &reply, err);
    rl_enrol_disconnect(enrol);
    /* A wrong pin is nothing that another try will mend. */
    if (code == RL_E_UNAVAILABLE && enrol->down.code != RL_OK)
        code = rl_fail(err, enrol->down.code, "%s", enrol->down.message);
    if (code == RL_OK)
        *answer = (Pb__JoinResponse *)reply;
    return code;
}

/* Auth's certificate is not good by our clock: perhaps it is the clock. */
static rl_code ask(struct rl_enrol *enrol, const Pb__JoinRequest *request, uint32_t timeout_ms,
                   Pb__JoinResponse **answer, struct rl_error *err)
{
    rl_code code = ask_once(enrol, request, timeout_ms, answer, err);
    if (code != RL_E_UNAUTHENTICATED || rl_enrol_wait_for_time(enrol, NULL) != RL_OK)
        return code;
    return ask_once(enrol, request, timeout_ms, answer, err);
}

static rl_code use_answer(struct rl_enrol *enrol, const Pb__JoinResponse *answer,
                          struct rl_error *err)
{
    struct rl_buf packed;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    const struct rl_held *held = enrol->held;
    rl_code code = rl_answer_accept(held, held->tls_key, &held->state->tls_key,
                                    enrol->config.ca_pin, answer, &packed, err);
    if (code == RL_OK)
        code = rl_enrol_adopt(enrol, rl_buf_span(&packed), err);
    if (code == RL_OK) {
        RL_ASSERT(answer);
        free(enrol->message);
        enrol->message = rl_strdup(answer->message);
    }
    rl_buf_fini(&packed);
    return code;
}

rl_code rl_enrol_join(struct rl_enrol *enrol, const char *token, uint32_t timeout_ms,
                      struct rl_error *err)
{
    Pb__JoinRequest request = PB__JOIN_REQUEST__INIT;
    Pb__JoinResponse *answer = NULL;
    struct rl_buf tls_key, ssh_key, proof;
    const struct rl_held *held = enrol->held;
    if (!held->trust && !enrol->config.ca_pin && !enrol->config.insecure)
        return rl_fail(err, RL_E_INVAL,
                       "to join, give the cluster's --ca-pin (`tctl status` says "
                       "it)");
    rl_buf_init(&tls_key, RL_ENROL_STATE_BYTES_MAX);
    rl_buf_init(&ssh_key, RL_ENROL_STATE_BYTES_MAX);
    rl_buf_init(&proof, RL_ENROL_STATE_BYTES_MAX);
    rl_code code = rl_key_to_spki(held->tls_key, &tls_key, err);
    if (code == RL_OK && held->ssh_key)
        code = rl_sshkey_public_blob(held->ssh_key, &ssh_key, err);
    if (code == RL_OK)
        code = rl_proof_join(held->tls_key, token, &proof, err);
    if (code == RL_OK) {
        fill_request(enrol, &request);
        request.token = borrow(token);
        request.tls_public_key = (ProtobufCBinaryData){tls_key.n, tls_key.p};
        request.ssh_public_key = (ProtobufCBinaryData){ssh_key.n, ssh_key.p};
        request.proof = (ProtobufCBinaryData){proof.n, proof.p};
        code = ask(enrol, &request, timeout_ms, &answer, err);
    }
    if (code == RL_OK)
        code = use_answer(enrol, answer, err);
    if (answer)
        pb__join_response__free_unpacked(answer, NULL);
    rl_buf_fini(&tls_key);
    rl_buf_fini(&ssh_key);
    rl_buf_fini(&proof);
    if (code == RL_OK && enrol->is_kept)
        rl_enrol_schedule(enrol);
    return code;
}

bool rl_enrol_has_expired(const struct rl_enrol *enrol)
{
    return enrol->held->tls &&
           rl_tls_identity_not_after_s(enrol->held->tls) < rl_enrol_now_s(enrol);
}

/* ---- what is held ---- */

const char *rl_enrol_state_dir(const struct rl_enrol *enrol)
{
    return rl_directory_path(enrol->directory);
}

const char *rl_enrol_id(const struct rl_enrol *enrol)
{
    return enrol->id;
}

const char *rl_enrol_name(const struct rl_enrol *enrol)
{
    return enrol->held->state->name;
}

const char *rl_enrol_cluster(const struct rl_enrol *enrol)
{
    return enrol->cluster;
}

const char *rl_enrol_message(const struct rl_enrol *enrol)
{
    return enrol->message;
}

struct rl_tls_identity *rl_enrol_identity(const struct rl_enrol *enrol)
{
    return enrol->held->tls;
}

struct rl_trust *rl_enrol_trust(const struct rl_enrol *enrol)
{
    return enrol->held->trust;
}

const Pb__TrustBundle *rl_enrol_bundle(const struct rl_enrol *enrol)
{
    return enrol->held->state->trust;
}

EVP_PKEY *rl_enrol_ssh_host_key(const struct rl_enrol *enrol)
{
    return enrol->held->ssh_key;
}

struct rl_span rl_enrol_ssh_host_certificate(const struct rl_enrol *enrol)
{
    const ProtobufCBinaryData *blob = &enrol->held->state->ssh_certificate;
    return RL_SPAN(blob->data, blob->len);
}

uint64_t rl_enrol_generation(const struct rl_enrol *enrol)
{
    return enrol->held->state->generation;
}

int64_t rl_enrol_auth_time_ns(const struct rl_enrol *enrol)
{
    return enrol->held->state->time_ns;
}

rl_code rl_enrol_save(struct rl_enrol *enrol, const char *name, struct rl_span content,
                      struct rl_error *err)
{
    RL_ASSERT(strcmp(name, RL_ENROL_FILE) != 0);
    return rl_directory_write(enrol->directory, name, content, err);
}

rl_code rl_enrol_load(struct rl_enrol *enrol, const char *name, size_t bytes_max,
                      struct rl_buf *out, struct rl_error *err)
{
    RL_ASSERT(strcmp(name, RL_ENROL_FILE) != 0);
    return rl_directory_read(enrol->directory, name, bytes_max, out, err);
}
