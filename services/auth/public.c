/* public: Ping and Time. */
#include "public.h"

#include "clock/clock.h"
#include "protocol/protocol.h"

#define TIME_CONTEXT "remoteler-time-v1"
#define AUTHORITY_BYTES_MAX 8192

rl_code rl_auth_ping(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__PingRequest *request, Pb__PingResponse *reply, struct rl_error *err)
{
    (void)peer;
    (void)request;
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    rl_message_text(&reply->cluster, auth->cluster);
    rl_message_text(&reply->version, RL_VERSION);
    reply->protocol = RL_PROTOCOL;
    reply->protocol_min = RL_PROTOCOL_MIN;
    rl_message_text(&reply->ca_pin, snapshot->authorities->ca_pin);
    reply->time_ns = rl_voted_clock_now_ns(&auth->clock);
    rl_snapshot_unref(&snapshot);
    return RL_OK;
}

/* For who knows the pin and nothing else, by a clock that says that auth's certificate is over. */
static rl_code fill_endorsement(const struct rl_authorities *authorities, Pb__TimeResponse *reply,
                                struct rl_error *err)
{
    struct rl_buf ca;
    rl_buf_init(&ca, AUTHORITY_BYTES_MAX);
    rl_code rc = rl_x509_to_der(authorities->service.certificate, &ca, err);
    if (rc == RL_OK) {
        rl_message_bytes(&reply->policy_key, rl_buf_span(&authorities->policy_spki));
        rl_message_bytes(&reply->service_ca, rl_buf_span(&ca));
        rl_message_bytes(&reply->endorsement, rl_buf_span(&authorities->policy_endorsement));
    }
    rl_buf_fini(&ca);
    return rc;
}

rl_code rl_auth_time(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                     const Pb__TimeRequest *request, Pb__TimeResponse *reply, struct rl_error *err)
{
    (void)peer;
    if (request->nonce.len < RL_TIME_NONCE_BYTES_MIN ||
        request->nonce.len > RL_TIME_NONCE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "the nonce has %d to %d bytes, not %zu",
                       RL_TIME_NONCE_BYTES_MIN, RL_TIME_NONCE_BYTES_MAX, request->nonce.len);
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    Pb__SignedTime body = PB__SIGNED_TIME__INIT;
    body.nonce = request->nonce;
    body.time_ns = rl_voted_clock_now_ns(&auth->clock);
    body.cluster = auth->cluster;
    struct rl_buf packed;
    struct rl_buf signature;
    rl_buf_init(&packed, 1024);
    rl_buf_init(&signature, 1024);
    rl_message_pack(&body.base, &packed);
    const struct rl_authority *policy = &snapshot->authorities->policy;
    rc = rl_key_sign(policy->key, TIME_CONTEXT, rl_buf_span(&packed), &signature, err);
    if (rc == RL_OK) {
        rl_message_bytes(&reply->statement, rl_buf_span(&packed));
        rl_message_bytes(&reply->signature, rl_buf_span(&signature));
        rl_message_text(&reply->key_id, policy->key_id);
        rc = fill_endorsement(snapshot->authorities, reply, err);
    }
    rl_buf_fini(&packed);
    rl_buf_fini(&signature);
    rl_snapshot_unref(&snapshot);
    return rc;
}
