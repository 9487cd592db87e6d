/* root_exchange: the one time that trust is exchanged. The pin in the token is held against the
 * root's certificate in the handshake, before the secret leaves. */
#include "clusters/root.h"

#include "bytes/secret.h"
#include "clusters/peer_trust.h"
#include "credential/token.h"
#include "protocol/protocol.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_BYTES 16

struct split {
    char *secret, *pin;
};

static void split_free(struct split *split)
{
    rl_wipe_text(&split->secret);
    free(split->pin);
    split->pin = NULL;
}

static rl_code split_token(const char *token, struct split *out, struct rl_error *err)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    const char *at = strchr(token, '@');
    if (!at)
        return rl_fail(err, RL_E_INVAL,
                       "spec.token: the root's administrator gets one by `tctl tokens add "
                       "--type=trusted_cluster`; it is written SECRET@PIN");
    struct split split = {rl_span_to_string(RL_SPAN(token, (size_t)(at - token))),
                          rl_strdup(at + 1)};
    rl_code rc = rl_identity_pin_check(split.pin, err);
    if (rc == RL_OK)
        rc = rl_token_hash(split.secret, hash, err);
    if (rc == RL_OK) {
        *out = split;
        return RL_OK;
    }
    rl_error_prefix(err, "spec.token");
    split_free(&split);
    return RL_E_INVAL;
}

rl_code rl_root_token_hash(const char *token, uint8_t hash[32], struct rl_error *err)
{
    return EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL) == 1
               ? RL_OK
               : rl_fail(err, RL_E_INTERNAL, "hashing a token");
}

static bool has_pin(const Pb__TrustBundle *trust, const char *pin)
{
    bool has_it = false;
    for (size_t i = 0; i < trust->n_service_cas && !has_it; i++) {
        X509 *ca = NULL;
        if (rl_x509_from_der(RL_BINARY(trust->service_cas[i]), &ca, NULL) != RL_OK)
            continue;
        char *its_pin = rl_identity_pin(ca);
        has_it = strcmp(its_pin, pin) == 0;
        free(its_pin);
        X509_free(ca);
    }
    return has_it;
}

static rl_code take_answer(const Pb__EstablishResponse *answer, const char *root, const char *pin,
                           struct rl_root_row *row, struct rl_error *err)
{
    uint8_t nonce[NONCE_BYTES];
    if (answer->trust_id.len != RL_TRUST_ID_BYTES)
        return rl_fail(err, RL_E_INVAL, "its answer is not complete");
    rl_code rc = rl_peer_trust_take(answer->trust, RL_PEER_ROOT, root, &row->trust, err);
    if (rc == RL_OK && !has_pin(row->trust, pin))
        rc = rl_fail(err, RL_E_INVAL, "the authority with the token's pin is not among its own");
    if (rc != RL_OK)
        return rc;
    rl_random(nonce, sizeof nonce);
    rl_buf_put_span(&row->trust_id, RL_BINARY(answer->trust_id));
    rl_buf_put(&row->policy_nonce, nonce, sizeof nonce);
    return RL_OK;
}

static rl_code ask(struct rl_auth *auth, const Pb__TrustedCluster *document,
                   const struct split *token, struct rl_root_row *row, struct rl_error *err)
{
    char version[] = RL_VERSION;
    uint8_t told[32];
    struct rl_snapshot *snapshot = NULL;
    Pb__EstablishResponse *answer = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    Pb__EstablishRequest request = PB__ESTABLISH_REQUEST__INIT;
    request.token = token->secret;
    request.trust = rl_peer_trust_own(snapshot, RL_PEER_LEAF);
    request.version = version;
    request.protocol = RL_PROTOCOL;
    request.protocol_min = RL_PROTOCOL_MIN;
    const struct rl_root_line line = {
        .cluster = document->metadata->name, .proxy = document->spec->proxy, .pin = token->pin};
    rc = rl_root_call(auth, &line, "Establish", &request.base, (ProtobufCMessage **)&answer, err);
    if (rc == RL_OK) {
        rc = take_answer(answer, line.cluster, line.pin, row, err);
        pb__establish_response__free_unpacked(answer, NULL);
    }
    rl_peer_trust_hash(request.trust, told);
    rl_buf_put(&row->told_sha256, told, sizeof told);
    pb__trust_bundle__free_unpacked(request.trust, NULL);
    rl_snapshot_unref(&snapshot);
    return rc;
}

rl_code rl_root_exchange(struct rl_auth *auth, const Pb__TrustedCluster *document,
                         struct rl_root_row *row, struct rl_error *err)
{
    uint8_t hash[32];
    struct split token = {NULL, NULL};
    rl_code rc = split_token(document->spec->token, &token, err);
    if (rc == RL_OK)
        rc = rl_root_token_hash(document->spec->token, hash, err);
    if (rc != RL_OK)
        return rc;
    rl_buf_put(&row->token_hash, hash, sizeof hash);
    rc = ask(auth, document, &token, row, err);
    split_free(&token);
    /* Whatever the root said, it is no answer to who called here. */
    return rc == RL_OK ? rc : rl_fail(err, RL_E_PRECONDITION, "%s", err->message);
}
