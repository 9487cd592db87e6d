/* Tickets as a broker brings them: nothing is taken that no proxy has signed. As if one had, the
 * input is also signed by a proxy, so that what reads the ticket itself is reached: what passes is
 * for this agent, of this minute, and no second time. */
#include "fuzz.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#define NOW_S 1800000000
#define NS_PER_S 1000000000ll
#define CLUSTER "main"
#define AGENT "0190c0de-0000-7000-8000-0000000000a1"

static EVP_PKEY *key;
static struct rl_trust *trust;
static struct rl_buf certificate;

static void set_up(void)
{
    X509 *ca = NULL, *leaf = NULL;
    EVP_PKEY *ca_key = NULL;
    struct rl_buf der;
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    static char cluster[] = CLUSTER;
    claims.format = 1;
    claims.cluster = cluster;
    rl_buf_init(&der, 65536);
    rl_buf_init(&certificate, 65536);
    RL_ASSERT(rl_identity_create_ca(RL_IDENTITY_SERVICE, CLUSTER, NOW_S, 86400, &ca, &ca_key,
                                    NULL) == RL_OK);
    RL_ASSERT(rl_key_generate_p256(&key, NULL) == RL_OK);
    const struct rl_identity_request request = {.kind = RL_IDENTITY_SERVICE,
                                                .cluster = CLUSTER,
                                                .name = AGENT,
                                                .service = "proxy",
                                                .subject = key,
                                                .claims = &claims,
                                                .now_s = NOW_S,
                                                .ttl_s = 3600};
    RL_ASSERT(rl_identity_issue(&request, ca, ca_key, &leaf, NULL) == RL_OK);
    RL_ASSERT(rl_x509_to_der(leaf, &certificate, NULL) == RL_OK);
    RL_ASSERT(rl_x509_to_der(ca, &der, NULL) == RL_OK);
    trust = rl_trust_create(CLUSTER);
    RL_ASSERT(rl_trust_add(trust, RL_IDENTITY_SERVICE, CLUSTER, rl_buf_span(&der), NULL) == RL_OK);
    rl_buf_fini(&der);
    X509_free(leaf);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
}

static rl_code verify(const Pb__SignedTicket *ticket, struct rl_ticket_seen *seen)
{
    const struct rl_ticket_check check = {
        .trust = trust, .agent_id = AGENT, .now_ns = NOW_S * NS_PER_S, .seen = seen};
    Pb__Ticket *out = NULL;
    rl_code rc = rl_ticket_verify(ticket, &check, &out, NULL);
    if (rc != RL_OK)
        return rc;
    int64_t age_ns = check.now_ns - out->time_ns, most_ns = RL_TUNNEL_TICKET_AGE_S_MAX * NS_PER_S;
    RL_ASSERT(strcmp(out->cluster, CLUSTER) == 0 && strcmp(out->agent_id, AGENT) == 0);
    RL_ASSERT(age_ns <= most_ns && age_ns >= -most_ns);
    pb__ticket__free_unpacked(out, NULL);
    return RL_OK;
}

static void as_signed(struct rl_span body)
{
    struct rl_buf signature;
    rl_buf_init(&signature, 1024);
    FUZZ_EXPECT(rl_key_sign(key, "remoteler-ticket-v1", body, &signature, NULL) == RL_OK);
    Pb__SignedTicket ticket = PB__SIGNED_TICKET__INIT;
    ticket.ticket = (ProtobufCBinaryData){body.n, (uint8_t *)(uintptr_t)body.p};
    ticket.signature = (ProtobufCBinaryData){signature.n, signature.p};
    ticket.certificate = (ProtobufCBinaryData){certificate.n, certificate.p};
    struct rl_ticket_seen *seen = rl_ticket_seen_create(4);
    if (verify(&ticket, seen) == RL_OK) {
        rl_code again = verify(&ticket, seen);
        RL_ASSERT(again != RL_OK);
        FUZZ_EXPECT(again == RL_E_DENIED);
    }
    rl_ticket_seen_free(&seen);
    rl_buf_fini(&signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!trust)
        set_up();
    Pb__SignedTicket *heard = pb__signed_ticket__unpack(NULL, size, data);
    if (heard)
        RL_ASSERT(verify(heard, NULL) != RL_OK); /* this key is minutes old */
    if (heard)
        pb__signed_ticket__free_unpacked(heard, NULL);
    as_signed(RL_SPAN(data, size));
    return 0;
}
