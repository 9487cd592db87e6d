/* auth_double: an auth of three calls, Join, Renew and Time, on the test's own loop: it checks what
 * auth checks of proofs and generations, and can be told to answer wrongly. */
#ifndef RL_ENROL_TESTS_AUTH_DOUBLE_H
#define RL_ENROL_TESTS_AUTH_DOUBLE_H

#include "enrol/enrol.h"
#include "identity/tests/authority.h"
#include "sshcert/sshcert.h"

#include <stdio.h>
#include <stdlib.h>

#define JOIN_TOKEN "the-token"
#define CERTIFICATE_LIFE_S (30 * 86400)

enum wrong {
    RIGHT,
    NO_TRUST,
    OTHER_KEY,
    OTHER_ID,
    OTHER_GENERATION,
    OTHER_KIND,
    OTHER_AUTHORITY,
    NO_SSH_CERTIFICATE,
    SSH_CERTIFICATE_FOR_ANOTHER,
};

enum wrong_time {
    RIGHT_TIME,
    NO_ENDORSEMENT, /* an auth of the release before */
    OTHER_NONCE,
    OTHER_CLUSTER,
    SIGNED_BY_ANOTHER,
    ENDORSED_BY_A_HOLDER, /* by the key of a certificate, as who stole it could */
    ENDORSED_BY_A_STRANGER,
};

struct auth_double {
    struct rl_loop *loop;
    struct authority services, hosts, users, strangers;
    EVP_PKEY *host_ssh_ca, *other_key;
    EVP_PKEY *own_key, *time_key;
    struct rl_buf der[4], ssh_ca_blob;
    ProtobufCBinaryData cas[3], ssh_ca;
    Pb__CaKey *policy_key; /* NULL: none; borrowed */
    struct rl_trust *trust;
    struct rl_tls_server *tls;
    struct rl_rpc_server *server;
    char address[32], *pin;
    int64_t now_s;

    /* the record */
    uint64_t generation;
    struct rl_buf tls_key; /* SPKI that was certified last */
    const char *id;

    /* what happened, and what is to happen */
    int joins, renewals, times;
    char last_agent_id[64], last_node_name[64];
    enum wrong wrong;
    enum wrong_time wrong_time;
    bool lose_answer;        /* the renewal counts, and the caller does not hear of it */
    struct rl_error refusal; /* code RL_OK: none */
};

static inline int64_t double_now_s(void *context)
{
    return ((struct auth_double *)context)->now_s;
}

static inline void double_bundle(struct auth_double *d, Pb__TrustBundle *bundle)
{
    static char cluster[] = "main";
    bundle->cluster = cluster;
    bundle->n_service_cas = bundle->n_host_cas = bundle->n_user_cas = 1;
    bundle->service_cas = &d->cas[0];
    bundle->host_cas = &d->cas[1];
    bundle->user_cas = &d->cas[2];
    bundle->n_host_ssh_cas = 1;
    bundle->host_ssh_cas = &d->ssh_ca;
    bundle->ca_pin = d->pin;
    bundle->n_policy_keys = d->policy_key ? 1 : 0;
    bundle->policy_keys = &d->policy_key;
}

static inline X509 *double_issue(struct auth_double *d, const char *kind, struct rl_span spki)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    static char cluster[] = "main";
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL;
    bool is_agent = strcmp(kind, "agent") == 0;
    if (d->wrong == OTHER_KIND)
        is_agent = !is_agent;
    struct authority *by = is_agent ? &d->hosts : &d->services;
    if (d->wrong == OTHER_AUTHORITY)
        by = &d->strangers;
    claims.format = 1;
    claims.cluster = cluster;
    claims.generation = d->generation + (d->wrong == OTHER_GENERATION);
    ck_assert_int_eq(rl_key_from_spki(spki, &key, NULL), RL_OK);
    const struct rl_identity_request request = {
        .kind = is_agent ? RL_IDENTITY_AGENT : RL_IDENTITY_SERVICE,
        .cluster = "main",
        .name = d->wrong == OTHER_ID ? UUID_B : d->id,
        .service = strcmp(kind, "agent") == 0 ? "proxy" : kind,
        .subject = d->wrong == OTHER_KEY ? d->other_key : key,
        .claims = &claims,
        .now_s = d->now_s,
        .ttl_s = CERTIFICATE_LIFE_S,
    };
    ck_assert_int_eq(rl_identity_issue(&request, by->ca, by->key, &leaf, NULL), RL_OK);
    EVP_PKEY_free(key);
    return leaf;
}

static inline void double_issue_ssh(struct auth_double *d, struct rl_span subject,
                                    struct rl_buf *out)
{
    static const char *const principals[] = {UUID_A, "node-a"};
    struct rl_buf other;
    rl_buf_init(&other, 4096);
    if (d->wrong == SSH_CERTIFICATE_FOR_ANOTHER) {
        ck_assert_int_eq(rl_sshkey_public_blob(d->host_ssh_ca, &other, NULL), RL_OK);
        subject = rl_buf_span(&other);
    }
    const struct rl_sshcert_request request = {
        .kind = RL_SSHCERT_HOST,
        .subject = subject,
        .serial = 1,
        .key_id = UUID_A,
        .principals = principals,
        .principals_n = 2,
        .valid_after_s = 0,
        .valid_before_s = RL_SSHCERT_FOREVER,
    };
    if (d->wrong != NO_SSH_CERTIFICATE)
        ck_assert_int_eq(rl_sshcert_issue(&request, d->host_ssh_ca, out, NULL), RL_OK);
    rl_buf_fini(&other);
}

static inline void double_answer(struct auth_double *d, struct rl_rpc_call *call, const char *kind,
                                 struct rl_span spki, struct rl_span ssh_key)
{
    static char name[] = "node-a", message[] = "welcome";
    Pb__JoinResponse answer = PB__JOIN_RESPONSE__INIT;
    Pb__TrustBundle bundle = PB__TRUST_BUNDLE__INIT;
    struct rl_buf leaf_der, ssh;
    rl_buf_init(&leaf_der, 65536);
    rl_buf_init(&ssh, 65536);
    X509 *leaf = double_issue(d, kind, spki);
    ck_assert_int_eq(rl_x509_to_der(leaf, &leaf_der, NULL), RL_OK);
    X509_free(leaf);
    if (ssh_key.n)
        double_issue_ssh(d, ssh_key, &ssh);
    ProtobufCBinaryData chain[] = {{leaf_der.n, leaf_der.p},
                                   strcmp(kind, "agent") == 0 ? d->cas[1] : d->cas[0]};
    double_bundle(d, &bundle);
    answer.id = (char *)(uintptr_t)d->id;
    answer.name = name;
    answer.message = message;
    answer.n_tls_chain = 2;
    answer.tls_chain = chain;
    answer.ssh_certificate = (ProtobufCBinaryData){ssh.n, ssh.p};
    answer.trust = d->wrong == NO_TRUST ? NULL : &bundle;
    answer.time_ns = d->now_s * 1000000000;
    answer.generation = d->generation;
    rl_rpc_reply(call, &answer.base);
    rl_buf_fini(&leaf_der);
    rl_buf_fini(&ssh);
}

static inline rl_code double_check_proof(struct rl_span spki, const char *context,
                                         struct rl_span body, const ProtobufCBinaryData *proof)
{
    EVP_PKEY *key = NULL;
    if (rl_key_from_spki(spki, &key, NULL) != RL_OK)
        return RL_E_INVAL;
    rl_code code = rl_key_verify(key, context, body, RL_SPAN(proof->data, proof->len), NULL);
    EVP_PKEY_free(key);
    return code;
}

static inline void double_fail(struct rl_rpc_call *call, rl_code code, const char *message)
{
    struct rl_error err;
    rl_fail(&err, code, "%s", message);
    rl_rpc_fail(call, &err);
}

static inline void double_join(struct rl_rpc_call *call, const ProtobufCMessage *message,
                               void *context)
{
    struct auth_double *d = context;
    const Pb__JoinRequest *request = (const Pb__JoinRequest *)message;
    struct rl_span spki = RL_SPAN(request->tls_public_key.data, request->tls_public_key.len);
    struct rl_buf body;
    d->joins++;
    snprintf(d->last_agent_id, sizeof d->last_agent_id, "%s", request->agent_id);
    snprintf(d->last_node_name, sizeof d->last_node_name, "%s", request->node_name);
    rl_buf_init(&body, 4096);
    rl_buf_put_string(&body, rl_span_of(request->token));
    rl_code code =
        double_check_proof(spki, "remoteler-join-v1", rl_buf_span(&body), &request->proof);
    rl_buf_fini(&body);
    if (d->refusal.code != RL_OK) {
        rl_rpc_fail(call, &d->refusal);
    } else if (code != RL_OK) {
        double_fail(call, RL_E_INVAL, "the proof is wrong");
    } else if (strcmp(request->token, JOIN_TOKEN) != 0) {
        double_fail(call, RL_E_DENIED, "join token unknown");
    } else {
        d->generation++;
        rl_buf_clear(&d->tls_key);
        rl_buf_put_span(&d->tls_key, spki);
        double_answer(d, call, request->kind, spki,
                      RL_SPAN(request->ssh_public_key.data, request->ssh_public_key.len));
    }
}

static inline const char *double_check_renewal(struct auth_double *d,
                                               const struct rl_identity *caller,
                                               const Pb__RenewRequest *request)
{
    struct rl_span spki = RL_SPAN(request->tls_public_key.data, request->tls_public_key.len);
    struct rl_span fingerprint = RL_SPAN(caller->fingerprint, sizeof caller->fingerprint);
    if (double_check_proof(spki, "remoteler-renew-v1", fingerprint, &request->proof) != RL_OK)
        return "the proof is wrong";
    if (request->generation != caller->claims->generation)
        return "the generation is not that of the certificate";
    bool is_repeated =
        request->generation + 1 == d->generation && rl_span_equal(spki, rl_buf_span(&d->tls_key));
    if (request->generation != d->generation && !is_repeated)
        return "two hold one identity";
    if (!is_repeated) {
        d->generation++;
        rl_buf_clear(&d->tls_key);
        rl_buf_put_span(&d->tls_key, spki);
    }
    return NULL;
}

static inline void double_renew(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                void *context)
{
    struct auth_double *d = context;
    const Pb__RenewRequest *request = (const Pb__RenewRequest *)message;
    const struct rl_identity *caller = rl_rpc_peer(call)->identity;
    ck_assert_ptr_nonnull(caller);
    d->renewals++;
    const char *wrong = d->refusal.code == RL_OK ? double_check_renewal(d, caller, request) : NULL;
    if (d->refusal.code != RL_OK)
        rl_rpc_fail(call, &d->refusal);
    else if (wrong)
        double_fail(call, RL_E_DENIED, wrong);
    else if (d->lose_answer)
        double_fail(call, RL_E_UNAVAILABLE, "the answer was lost");
    else
        double_answer(d, call, caller->kind == RL_IDENTITY_AGENT ? "agent" : caller->service,
                      RL_SPAN(request->tls_public_key.data, request->tls_public_key.len),
                      RL_SPAN(request->ssh_public_key.data, request->ssh_public_key.len));
}

static inline void double_sign_time(struct auth_double *d, const Pb__SignedTime *said,
                                    Pb__TimeResponse *answer, struct rl_buf buf[4])
{
    for (int i = 0; i < 4; i++)
        rl_buf_init(&buf[i], 4096);
    buf[0].n += pb__signed_time__pack(
        said, rl_buf_reserve(&buf[0], pb__signed_time__get_packed_size(said)));
    EVP_PKEY *signer = d->wrong_time == SIGNED_BY_ANOTHER ? d->other_key : d->time_key;
    EVP_PKEY *endorser = d->wrong_time == ENDORSED_BY_A_HOLDER     ? d->own_key
                         : d->wrong_time == ENDORSED_BY_A_STRANGER ? d->strangers.key
                                                                   : d->services.key;
    ck_assert_int_eq(rl_key_to_spki(d->time_key, &buf[1], NULL), RL_OK);
    ck_assert_int_eq(rl_key_sign(signer, "remoteler-time-v1", rl_buf_span(&buf[0]), &buf[2], NULL),
                     RL_OK);
    ck_assert_int_eq(
        rl_key_sign(endorser, "remoteler-policy-key-v1", rl_buf_span(&buf[1]), &buf[3], NULL),
        RL_OK);
    answer->statement = (ProtobufCBinaryData){buf[0].n, buf[0].p};
    answer->signature = (ProtobufCBinaryData){buf[2].n, buf[2].p};
    if (d->wrong_time == NO_ENDORSEMENT)
        return;
    size_t ca = d->wrong_time == ENDORSED_BY_A_STRANGER ? 3 : 0;
    answer->policy_key = (ProtobufCBinaryData){buf[1].n, buf[1].p};
    answer->service_ca = (ProtobufCBinaryData){d->der[ca].n, d->der[ca].p};
    answer->endorsement = (ProtobufCBinaryData){buf[3].n, buf[3].p};
}

static inline void double_time(struct rl_rpc_call *call, const ProtobufCMessage *message,
                               void *context)
{
    static char own_cluster[] = "main", other_cluster[] = "other";
    static uint8_t other_nonce[32];
    struct auth_double *d = context;
    const Pb__TimeRequest *request = (const Pb__TimeRequest *)message;
    Pb__SignedTime said = PB__SIGNED_TIME__INIT;
    Pb__TimeResponse answer = PB__TIME_RESPONSE__INIT;
    struct rl_buf buf[4];
    d->times++;
    said.nonce = request->nonce;
    if (d->wrong_time == OTHER_NONCE)
        said.nonce = (ProtobufCBinaryData){sizeof other_nonce, other_nonce};
    said.cluster = d->wrong_time == OTHER_CLUSTER ? other_cluster : own_cluster;
    said.time_ns = d->now_s * 1000000000;
    double_sign_time(d, &said, &answer, buf);
    rl_rpc_reply(call, &answer.base);
    for (int i = 0; i < 4; i++)
        rl_buf_fini(&buf[i]);
}

static inline void double_not_here(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                   void *context)
{
    (void)message, (void)context;
    double_fail(call, RL_E_UNIMPLEMENTED, "not in this test");
}

static inline void double_stream_message(struct rl_rpc_call *call, const ProtobufCMessage *message,
                                         void *context)
{
    (void)call, (void)message, (void)context;
}

static inline void double_stream_closed(struct rl_rpc_call *call, rl_code code, const char *message,
                                        void *context)
{
    (void)call, (void)code, (void)message, (void)context;
}

static inline rl_code double_authorize(void *context, const char *service, const char *method,
                                       const struct rl_rpc_peer *peer, struct rl_error *err)
{
    (void)context, (void)service, (void)method, (void)peer, (void)err;
    return RL_OK;
}

static inline void double_make_authorities(struct auth_double *d)
{
    struct rl_trust *trust = rl_trust_create("main");
    struct authority *all[] = {&d->services, &d->hosts, &d->users, &d->strangers};
    static const enum rl_identity_kind kinds[] = {RL_IDENTITY_SERVICE, RL_IDENTITY_AGENT,
                                                  RL_IDENTITY_USER, RL_IDENTITY_AGENT};
    for (size_t i = 0; i < 4; i++) {
        *all[i] = authority_make(kinds[i], "main");
        rl_buf_init(&d->der[i], 65536);
        ck_assert_int_eq(rl_x509_to_der(all[i]->ca, &d->der[i], NULL), RL_OK);
        if (i == 3)
            break;
        d->cas[i] = (ProtobufCBinaryData){d->der[i].n, d->der[i].p};
        ck_assert_int_eq(authority_trust(trust, kinds[i], "main", all[i]->ca, NULL), RL_OK);
    }
    d->trust = trust;
    d->pin = rl_identity_pin(d->services.ca);
    ck_assert_int_eq(rl_sshkey_generate(&d->host_ssh_ca, NULL), RL_OK);
    rl_buf_init(&d->ssh_ca_blob, 4096);
    ck_assert_int_eq(rl_sshkey_public_blob(d->host_ssh_ca, &d->ssh_ca_blob, NULL), RL_OK);
    d->ssh_ca = (ProtobufCBinaryData){d->ssh_ca_blob.n, d->ssh_ca_blob.p};
    d->other_key = fresh_key();
    ck_assert_int_eq(rl_sshkey_generate(&d->time_key, NULL), RL_OK); /* Ed25519 */
}

static inline void double_make_tls(struct auth_double *d)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_identity *identity = NULL;
    EVP_PKEY *key = fresh_key();
    d->own_key = key;
    X509 *leaf = authority_issue_at(&d->services, UUID_B, "auth", key, NOW_S, 3000ull * 86400);
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    ck_assert_int_eq(rl_x509_to_der(leaf, &der, NULL), RL_OK);
    struct rl_span chain[] = {rl_buf_span(&der), rl_buf_span(&d->der[0])};
    ck_assert_int_eq(rl_tls_identity_create(chain, 2, key, &identity, NULL), RL_OK);
    const struct rl_tls_server_config config = {.route = "auth",
                                                .identity = identity,
                                                .trust = d->trust,
                                                .client = RL_TLS_CLIENT_OPTIONAL,
                                                .alpn = alpn,
                                                .now_s = double_now_s,
                                                .now_context = d};
    ck_assert_int_eq(rl_tls_server_create(&config, &d->tls, NULL), RL_OK);
    rl_tls_identity_unref(&identity);
    rl_buf_fini(&der);
    X509_free(leaf);
}

static inline void double_start(struct auth_double *d)
{
    static const struct rl_rpc_stream_ops follow = {.message = double_stream_message,
                                                    .closed = double_stream_closed};
    static const struct rl_rpc_handler auth[] = {
        {.method = "Ping", .unary = double_not_here},
        {.method = "Time", .unary = double_time},
        {.method = "Join", .unary = double_join},
        {.method = "Login", .unary = double_not_here},
        {.method = "Invitation", .unary = double_not_here},
        {.method = "Signup", .unary = double_not_here},
    };
    static const struct rl_rpc_handler fleet[] = {
        {.method = "Renew", .unary = double_renew},
        {.method = "Follow", .stream = &follow},
    };
    const struct rl_rpc_server_config config = {
        .loop = d->loop, .authorize = double_authorize, .now_s = double_now_s, .now_context = d};
    const struct rl_rpc_listen listen = {.address = "127.0.0.1:0", .tls = d->tls};
    uint16_t port = 0;
    ck_assert_int_eq(rl_rpc_server_create_h2(&config, &d->server, NULL), RL_OK);
    rl_rpc_server_add(d->server, &pb__auth__descriptor, auth, RL_COUNT(auth), d);
    rl_rpc_server_add(d->server, &pb__fleet__descriptor, fleet, RL_COUNT(fleet), d);
    ck_assert_int_eq(rl_rpc_server_listen(d->server, &listen, &port, NULL), RL_OK);
    snprintf(d->address, sizeof d->address, "127.0.0.1:%u", port);
}

static inline void double_create(struct auth_double *d)
{
    *d = (struct auth_double){.now_s = NOW_S, .id = UUID_A};
    rl_buf_init(&d->tls_key, 4096);
    ck_assert_int_eq(rl_loop_create(&d->loop, NULL), RL_OK);
    double_make_authorities(d);
    double_make_tls(d);
    double_start(d);
}

static inline void double_destroy(struct auth_double *d)
{
    rl_rpc_server_free(&d->server);
    rl_tls_server_unref(&d->tls);
    rl_trust_unref(&d->trust);
    authority_free(&d->services);
    authority_free(&d->hosts);
    authority_free(&d->users);
    authority_free(&d->strangers);
    EVP_PKEY_free(d->host_ssh_ca);
    EVP_PKEY_free(d->other_key);
    EVP_PKEY_free(d->own_key);
    EVP_PKEY_free(d->time_key);
    for (size_t i = 0; i < 4; i++)
        rl_buf_fini(&d->der[i]);
    rl_buf_fini(&d->ssh_ca_blob);
    rl_buf_fini(&d->tls_key);
    free(d->pin);
    rl_loop_free(&d->loop);
}

#endif
