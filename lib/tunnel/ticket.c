/* Tickets: who is said to come through a tunnel, on a proxy's word. A ticket opens nothing; it is
 * checked all the same, so that a broker can not invent a client's address or play one twice.
 */
#include "clock/clock.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE_CONTEXT "remoteler-ticket-v1"
#define NONCE_BYTES 16
#define TICKET_BYTES_MAX 24576 /* one for a leaf has the user's certificate in it */
#define NS_PER_S 1000000000ll

rl_code rl_ticket_sign(const Pb__Ticket *ticket, EVP_PKEY *key, X509 *certificate,
                       Pb__SignedTicket **out, struct rl_error *err)
{
    struct rl_buf body, signature, der;
    rl_buf_init(&body, TICKET_BYTES_MAX);
    rl_buf_init(&signature, 1024);
    rl_buf_init(&der, TICKET_BYTES_MAX);
    rl_code rc;
    size_t n = pb__ticket__get_packed_size(ticket);
    uint8_t *to = rl_buf_reserve(&body, n);
    if (!to) {
        rc = rl_fail(err, RL_E_INVAL, "a ticket of %zu bytes; at most %d are allowed", n,
                     TICKET_BYTES_MAX);
        goto out;
    }
    body.n = pb__ticket__pack(ticket, to);
    rc = rl_key_sign(key, SIGNATURE_CONTEXT, rl_buf_span(&body), &signature, err);
    if (rc == RL_OK)
        rc = rl_x509_to_der(certificate, &der, err);
    if (rc != RL_OK)
        goto out;
    Pb__SignedTicket borrowed = PB__SIGNED_TICKET__INIT;
    borrowed.ticket = (ProtobufCBinaryData){body.n, body.p};
    borrowed.signature = (ProtobufCBinaryData){signature.n, signature.p};
    borrowed.certificate = (ProtobufCBinaryData){der.n, der.p};
    size_t size = pb__signed_ticket__get_packed_size(&borrowed);
    uint8_t *packed = rl_alloc(size);
    pb__signed_ticket__pack(&borrowed, packed);
    *out = pb__signed_ticket__unpack(NULL, size, packed);
    free(packed);
    RL_ASSERT(*out);
out:
    rl_buf_fini(&body);
    rl_buf_fini(&signature);
    rl_buf_fini(&der);
    return rc;
}

/* ---- nonces ---- */

struct seen_nonce {
    uint8_t nonce[NONCE_BYTES];
    int64_t until_ns;
    uint32_t next; /* in its bucket; index + 1, 0: none */
};

/* A ring in the order of arrival, with a hash over it. */
struct rl_ticket_seen {
    size_t max, first, count, bucket_count;
    struct seen_nonce *ring;
    uint32_t *buckets;
};

struct rl_ticket_seen *rl_ticket_seen_create(size_t nonces_max)
{
    RL_ASSERT(nonces_max > 0 && nonces_max < UINT32_MAX);
    struct rl_ticket_seen *seen = rl_alloc(sizeof *seen);
    seen->max = seen->bucket_count = nonces_max;
    seen->ring = rl_alloc_array(nonces_max, sizeof *seen->ring);
    seen->buckets = rl_alloc_array(nonces_max, sizeof *seen->buckets);
    return seen;
}

void rl_ticket_seen_free(struct rl_ticket_seen **seen)
{
    if (!seen || !*seen)
        return;
    free((*seen)->ring);
    free((*seen)->buckets);
    free(*seen);
    *seen = NULL;
}

static uint32_t *bucket_of(struct rl_ticket_seen *seen, const uint8_t *nonce)
{
    uint64_t hash;
    memcpy(&hash, nonce, sizeof hash); /* random already, by a proxy's word */
    return &seen->buckets[hash % seen->bucket_count];
}

static void forget_first(struct rl_ticket_seen *seen)
{
    uint32_t index = (uint32_t)seen->first;
    uint32_t *link = bucket_of(seen, seen->ring[index].nonce);
    while (*link != index + 1)
        link = &seen->ring[*link - 1].next;
    *link = seen->ring[index].next;
    seen->first = (seen->first + 1) % seen->max;
    seen->count--;
}

static rl_code remember(struct rl_ticket_seen *seen, const uint8_t *nonce, int64_t now_ns,
                        struct rl_error *err)
{
    while (seen->count && seen->ring[seen->first].until_ns < now_ns)
        forget_first(seen);
    for (uint32_t i = *bucket_of(seen, nonce); i; i = seen->ring[i - 1].next)
        if (memcmp(seen->ring[i - 1].nonce, nonce, NONCE_BYTES) == 0)
            return rl_fail(err, RL_E_DENIED, "this ticket was used before");
    if (seen->count == seen->max)
        return rl_fail(err, RL_E_EXHAUSTED, "more than %zu tickets in %d seconds; try again later",
                       seen->max, 2 * RL_TUNNEL_TICKET_AGE_S_MAX);
    uint32_t index = (uint32_t)((seen->first + seen->count) % seen->max);
    uint32_t *bucket = bucket_of(seen, nonce);
    struct seen_nonce *entry = &seen->ring[index];
    memcpy(entry->nonce, nonce, NONCE_BYTES);
    /* A ticket may be from the future by as much as it may be old. */
    entry->until_ns = now_ns + 2 * RL_TUNNEL_TICKET_AGE_S_MAX * NS_PER_S;
    entry->next = *bucket;
    *bucket = index + 1;
    seen->count++;
    return RL_OK;
}

/* ---- checking ---- */

static bool may_sign(const struct rl_identity *signer, const struct rl_ticket_check *check)
{
    return strcmp(signer->cluster, rl_trust_cluster(check->trust)) == 0 &&
           (rl_identity_is_service(signer, "proxy") ||
            (check->takes_quotes && rl_identity_is_service(signer, "broker")));
}

static rl_code check_signer(const Pb__SignedTicket *signed_ticket,
                            const struct rl_ticket_check *check, struct rl_identity **out,
                            struct rl_error *err)
{
    X509 *certificate = NULL;
    STACK_OF(X509) *chain = NULL;
    struct rl_identity *signer = NULL;
    rl_code rc =
        rl_x509_from_der(RL_SPAN(signed_ticket->certificate.data, signed_ticket->certificate.len),
                         &certificate, err);
    if (rc != RL_OK)
        goto out;
    chain = sk_X509_new_null();
    if (!chain || !sk_X509_push(chain, certificate)) {
        rc = rl_fail(err, RL_E_INTERNAL, "out of memory");
        goto out;
    }
    rc = rl_identity_check(check->trust, chain, false, check->now_ns / NS_PER_S, &signer, err);
    if (rc != RL_OK)
        goto out;
    if (!may_sign(signer, check)) {
        char *who = rl_identity_describe(signer);
        rc = rl_fail(err, RL_E_DENIED, "signed by %s, not by a proxy of cluster %s", who,
                     rl_trust_cluster(check->trust));
        free(who);
        goto out;
    }
    rc = rl_key_verify(X509_get0_pubkey(certificate), SIGNATURE_CONTEXT,
                       RL_SPAN(signed_ticket->ticket.data, signed_ticket->ticket.len),
                       RL_SPAN(signed_ticket->signature.data, signed_ticket->signature.len), err);
    if (rc == RL_OK) {
        *out = signer;
        signer = NULL;
    }
out:
    rl_identity_unref(&signer);
    sk_X509_free(chain);
    X509_free(certificate);
    return rc;
}

/* A proxy speaks for its own users only, a broker only for those who come from a root. */
static rl_code check_quotes(const Pb__Ticket *ticket, const struct rl_identity *signer,
                            struct rl_error *err)
{
    bool has_all =
        ticket->root_cluster[0] && ticket->root_session_id[0] && ticket->root_proxy_id[0];
    bool has_any =
        ticket->root_cluster[0] || ticket->root_session_id[0] || ticket->root_proxy_id[0];
    if (rl_identity_is_service(signer, "proxy"))
        return has_any ? rl_fail(err, RL_E_DENIED, "a proxy does not speak for another cluster")
                       : RL_OK;
    if (!has_all || strcmp(ticket->root_cluster, signer->cluster) == 0)
        return rl_fail(err, RL_E_DENIED, "a broker's, and not for who comes from a root");
    return RL_OK;
}

static rl_code check_content(const Pb__Ticket *ticket, const struct rl_ticket_check *check,
                             struct rl_error *err)
{
    int64_t limit_ns = RL_TUNNEL_TICKET_AGE_S_MAX * NS_PER_S;
    if (strcmp(ticket->cluster, rl_trust_cluster(check->trust)) != 0)
        return rl_fail(err, RL_E_DENIED, "for another cluster");
    if (strcmp(ticket->agent_id, check->agent_id) != 0)
        return rl_fail(err, RL_E_DENIED, "for another agent");
    if (ticket->nonce.len != NONCE_BYTES)
        return rl_fail(err, RL_E_INVAL, "a nonce of %zu bytes", ticket->nonce.len);
    if (ticket->time_ns < 0 || ticket->time_ns < check->now_ns - limit_ns)
        return rl_fail(err, RL_E_DENIED, "older than %d seconds; is a clock wrong?",
                       RL_TUNNEL_TICKET_AGE_S_MAX);
    if (ticket->time_ns > check->now_ns + limit_ns)
        return rl_fail(err, RL_E_DENIED, "from the future; is a clock wrong?");
    return check->seen ? remember(check->seen, ticket->nonce.data, check->now_ns, err) : RL_OK;
}

rl_code rl_ticket_verify(const Pb__SignedTicket *signed_ticket, const struct rl_ticket_check *check,
                         Pb__Ticket **out, struct rl_error *err)
{
    Pb__Ticket *ticket = NULL;
    struct rl_identity *signer = NULL;
    rl_code rc;
    if (!signed_ticket || signed_ticket->ticket.len > TICKET_BYTES_MAX) {
        rc = rl_fail(err, RL_E_INVAL, "no ticket, or one of more than %d bytes", TICKET_BYTES_MAX);
        goto out;
    }
    rc = check_signer(signed_ticket, check, &signer, err);
    if (rc != RL_OK)
        goto out;
    ticket = pb__ticket__unpack(NULL, signed_ticket->ticket.len, signed_ticket->ticket.data);
    rc = ticket ? check_quotes(ticket, signer, err)
                : rl_fail(err, RL_E_INVAL, "malformed, though it is signed");
    if (rc == RL_OK)
        rc = check_content(ticket, check, err);
    if (rc != RL_OK)
        goto out;
    *out = ticket;
    ticket = NULL;
    if (check->signer) {
        *check->signer = signer;
        signer = NULL;
    }
out:
    rl_identity_unref(&signer);
    if (ticket)
        pb__ticket__free_unpacked(ticket, NULL);
    if (rc != RL_OK && err)
        rl_error_prefix(err, "the ticket");
    return rc;
}
