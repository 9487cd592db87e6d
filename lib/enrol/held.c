/* held: everything that is used is derived here once, so a damaged file is found when the program
 * starts and not when a certificate is needed. */
#include "enrol/held.h"

#include "bytes/secret.h"
#include "names/names.h"
#include "sshcert/sshkey.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATE_FORMAT 1
#define KEY_BYTES_MAX 4096

static struct rl_span span_of(const ProtobufCBinaryData *data)
{
    return RL_SPAN(data->data, data->len);
}

static void wipe(ProtobufCBinaryData *data)
{
    if (data->len)
        rl_wipe(data->data, data->len);
}

void rl_held_free(struct rl_held **held)
{
    struct rl_held *gone = held ? *held : NULL;
    if (!gone)
        return;
    *held = NULL;
    if (gone->state) {
        wipe(&gone->state->tls_key);
        wipe(&gone->state->next_tls_key);
        wipe(&gone->state->ssh_key);
        pb__enrol_state__free_unpacked(gone->state, NULL);
    }
    EVP_PKEY_free(gone->tls_key);
    EVP_PKEY_free(gone->next_tls_key);
    EVP_PKEY_free(gone->ssh_key);
    rl_tls_identity_unref(&gone->tls);
    rl_trust_unref(&gone->trust);
    free(gone);
}

static rl_code read_keys(struct rl_held *held, struct rl_error *err)
{
    const Pb__EnrolState *state = held->state;
    rl_code code = rl_key_from_pem(span_of(&state->tls_key), &held->tls_key, err);
    if (code == RL_OK && state->next_tls_key.len)
        code = rl_key_from_pem(span_of(&state->next_tls_key), &held->next_tls_key, err);
    if (code == RL_OK && state->ssh_key.len)
        code = rl_sshkey_private_parse(span_of(&state->ssh_key), &held->ssh_key, err);
    if (code == RL_OK && !held->ssh_key && strcmp(state->kind, "agent") == 0)
        code = rl_fail(err, RL_E_INVAL, "the SSH host key is missing");
    return code;
}

static rl_code read_certificates(struct rl_held *held, struct rl_error *err)
{
    const Pb__EnrolState *state = held->state;
    struct rl_span chain[RL_IDENTITY_CHAIN_MAX];
    if (state->n_tls_chain > RL_COUNT(chain) || !state->trust || !rl_name_is_uuid(state->id))
        return rl_fail(err, RL_E_INVAL, "the certificates are not whole");
    for (size_t i = 0; i < state->n_tls_chain; i++)
        chain[i] = span_of(&state->tls_chain[i]);
    rl_code code =
        rl_tls_identity_create(chain, state->n_tls_chain, held->tls_key, &held->tls, err);
    return code == RL_OK ? rl_trust_from_bundle(state->trust, &held->trust, err) : code;
}

rl_code rl_held_read(struct rl_span packed, struct rl_held **out, struct rl_error *err)
{
    struct rl_held *held = rl_alloc(sizeof *held);
    rl_code code = RL_OK;
    held->state = pb__enrol_state__unpack(NULL, packed.n, packed.p);
    if (!held->state || held->state->format != STATE_FORMAT)
        code = rl_fail(err, RL_E_INVAL, "it can not be read");
    if (code == RL_OK)
        code = read_keys(held, err);
    if (code == RL_OK && held->state->n_tls_chain > 0)
        code = read_certificates(held, err);
    if (code == RL_OK)
        *out = held;
    else
        rl_held_free(&held);
    return code == RL_OK ? RL_OK : RL_E_INVAL;
}

static rl_code make_ssh_key(struct rl_buf *text, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    rl_code code = rl_sshkey_generate(&key, err);
    if (code == RL_OK)
        code = rl_sshkey_private_format(key, NULL, text, err);
    EVP_PKEY_free(key);
    return code;
}

static rl_code make_tls_key(struct rl_buf *pem, struct rl_error *err)
{
    EVP_PKEY *key = NULL;
    rl_code code = rl_key_generate_p256(&key, err);
    if (code == RL_OK)
        code = rl_key_to_pem(key, pem, err);
    EVP_PKEY_free(key);
    return code;
}

rl_code rl_held_begin(const char *kind, struct rl_buf *packed, struct rl_error *err)
{
    struct rl_buf tls_key, ssh_key;
    rl_buf_init(&tls_key, KEY_BYTES_MAX);
    rl_buf_init(&ssh_key, KEY_BYTES_MAX);
    rl_code code = make_tls_key(&tls_key, err);
    if (code == RL_OK && strcmp(kind, "agent") == 0)
        code = make_ssh_key(&ssh_key, err);
    if (code == RL_OK) {
        Pb__EnrolState state = PB__ENROL_STATE__INIT;
        state.format = STATE_FORMAT;
        state.kind = (char *)(uintptr_t)kind;
        state.tls_key = (ProtobufCBinaryData){tls_key.n, tls_key.p};
        state.ssh_key = (ProtobufCBinaryData){ssh_key.n, ssh_key.p};
        code = rl_held_pack(&state, packed, err);
    }
    rl_buf_fini(&tls_key);
    rl_buf_fini(&ssh_key);
    return code;
}

rl_code rl_held_begin_renewal(const struct rl_held *held, struct rl_buf *packed,
                              struct rl_error *err)
{
    struct rl_buf key;
    rl_buf_init(&key, KEY_BYTES_MAX);
    rl_code code = make_tls_key(&key, err);
    if (code == RL_OK) {
        Pb__EnrolState state = *held->state;
        state.next_tls_key = (ProtobufCBinaryData){key.n, key.p};
        code = rl_held_pack(&state, packed, err);
    }
    rl_buf_fini(&key);
    return code;
}

rl_code rl_held_pack(const Pb__EnrolState *state, struct rl_buf *packed, struct rl_error *err)
{
    size_t n = pb__enrol_state__get_packed_size(state);
    uint8_t *to = rl_buf_reserve(packed, n);
    if (!to)
        return rl_fail(err, RL_E_EXHAUSTED, "the identity's state is longer than %u bytes",
                       RL_ENROL_STATE_BYTES_MAX);
    packed->n += pb__enrol_state__pack(state, to);
    return RL_OK;
}

bool rl_bundle_has_pin(const Pb__TrustBundle *bundle, const char *pin)
{
    bool found = false;
    for (size_t i = 0; !found && i < bundle->n_service_cas; i++) {
        X509 *ca = NULL;
        if (rl_x509_from_der(span_of(&bundle->service_cas[i]), &ca, NULL) != RL_OK)
            continue;
        char *own = rl_identity_pin(ca);
        found = strcmp(own, pin) == 0;
        free(own);
        X509_free(ca);
    }
    return found;
}

bool rl_held_has_pin(const struct rl_held *held, const char *pin)
{
    return strcmp(held->state->ca_pin, pin) == 0 || rl_bundle_has_pin(held->state->trust, pin);
}

void rl_held_times(const struct rl_held *held, int64_t *from_s, int64_t *until_s)
{
    struct tm tm;
    X509 *leaf = rl_tls_identity_certificate(held->tls);
    *until_s = rl_tls_identity_not_after_s(held->tls);
    *from_s = ASN1_TIME_to_tm(X509_get0_notBefore(leaf), &tm) == 1
                  ? timegm(&tm) + RL_IDENTITY_BACKDATE_S
                  : *until_s;
}
