/* check: what a root's proxy asks for, held against what a root may ask: its own proxy's ticket,
 * for this leaf, of this minute, once; with the certificate of a user of that root, and no other's;
 * for a node by its name, or for this cluster's auth or audit.
 */
#include "internal.h"

#include "bytes/secret.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define TARGET_BYTES_MAX 512

void asked_fini(struct asked *asked)
{
    if (asked->ticket)
        pb__ticket__free_unpacked(asked->ticket, NULL);
    asked->ticket = NULL;
    rl_identity_unref(&asked->proxy);
    rl_identity_unref(&asked->user);
}

static rl_code check_certificate(const ProtobufCBinaryData *der, const struct asked_by *by,
                                 struct rl_identity **out, struct rl_error *err)
{
    X509 *certificate = NULL;
    rl_code rc = rl_x509_from_der(RL_SPAN(der->data, der->len), &certificate, err);
    if (rc != RL_OK)
        return rc;
    STACK_OF(X509) *chain = sk_X509_new_null();
    rc = chain && sk_X509_push(chain, certificate) > 0
             ? rl_identity_check(by->root, chain, false, by->now_ns / 1000000000ll, out, err)
             : rl_fail(err, RL_E_INTERNAL, "out of memory");
    sk_X509_free(chain);
    X509_free(certificate);
    return rc;
}

/* A user of that root, the one whom the ticket names, with a certificate that is good for anything.
 */
static rl_code check_user(const struct asked *asked, const struct asked_by *by,
                          struct rl_error *err)
{
    const struct rl_identity *user = asked->user;
    const ProtobufCBinaryData *named = &asked->ticket->user_certificate_sha256;
    if (user->kind != RL_IDENTITY_USER || user->is_retired ||
        strcmp(user->cluster, rl_trust_cluster(by->root)) != 0)
        return rl_fail(err, RL_E_DENIED, "the certificate in the ticket is no user's of cluster %s",
                       rl_trust_cluster(by->root));
    if (named->len != sizeof user->fingerprint ||
        memcmp(named->data, user->fingerprint, named->len) != 0)
        return rl_fail(err, RL_E_DENIED, "the ticket names another certificate than it brings");
    const Pb__IdentityClaims *claims = user->claims;
    if (claims->target[0] || claims->usage[0] || claims->via[0])
        return rl_fail(err, RL_E_DENIED, "this certificate is for one target only");
    return RL_OK;
}

/* Nothing takes an address; what a node may be called auth knows. */
static rl_code check_target(const Pb__Ticket *ticket, struct rl_error *err)
{
    const char *kind = ticket->target_kind, *name = ticket->target_name;
    bool is_service = strcmp(kind, "auth") == 0 || strcmp(kind, "audit") == 0;
    if (!is_service && strcmp(kind, "ssh") != 0)
        return rl_fail(err, RL_E_NOT_FOUND, "this cluster offers no %.16s to another", kind);
    if (is_service == (name[0] != '\0') || strlen(name) > TARGET_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a target of the kind %.16s is not named so", kind);
    return RL_OK;
}

static rl_code check(const struct asked *asked, const struct asked_by *by, struct rl_error *err)
{
    rl_code rc = check_user(asked, by, err);
    if (rc == RL_OK && !rl_name_is_uuid(asked->ticket->session_id))
        rc = rl_fail(err, RL_E_INVAL, "the ticket's session has no proper id");
    return rc == RL_OK ? check_target(asked->ticket, err) : rc;
}

rl_code asked_read(const Pb__SignedTicket *signed_ticket, const struct asked_by *by,
                   struct asked *out, struct rl_error *err)
{
    struct asked asked = {NULL, NULL, NULL};
    char *id = rl_sprintf("cluster/%s", by->leaf);
    const struct rl_ticket_check how = {.trust = by->root,
                                        .agent_id = id,
                                        .now_ns = by->now_ns,
                                        .seen = by->seen,
                                        .signer = &asked.proxy};
    rl_code rc = rl_ticket_verify(signed_ticket, &how, &asked.ticket, err);
    if (rc == RL_OK)
        rc = check_certificate(&asked.ticket->user_certificate, by, &asked.user, err);
    if (rc == RL_OK)
        rc = check(&asked, by, err);
    if (rc == RL_OK)
        *out = asked;
    else
        asked_fini(&asked);
    free(id);
    return rc;
}

void asked_session_id(const char *root, const char *session_id, char out[RL_UUID_TEXT_BYTES])
{
    uint8_t hash[32];
    char *text = rl_sprintf("%s\n%s", root, session_id);
    RL_ASSERT(EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) == 1);
    free(text);
    rl_uuid8(hash, out);
}

void asked_own_ticket(const struct asked *asked, const char *leaf, char *agent_id, int64_t now_ns,
                      uint64_t policy_version, struct own_ticket *out)
{
    const Pb__Ticket *theirs = asked->ticket;
    asked_session_id(asked->user->cluster, theirs->session_id, out->session_id);
    rl_random(out->nonce, sizeof out->nonce);
    pb__ticket__init(&out->ticket);
    out->ticket.cluster = (char *)(uintptr_t)leaf;
    out->ticket.session_id = out->session_id;
    out->ticket.agent_id = agent_id;
    out->ticket.target_kind = theirs->target_kind;
    out->ticket.client_address = theirs->client_address;
    out->ticket.user_certificate_sha256 = theirs->user_certificate_sha256;
    out->ticket.policy_version = policy_version;
    out->ticket.time_ns = now_ns;
    out->ticket.nonce = (ProtobufCBinaryData){sizeof out->nonce, out->nonce};
    out->ticket.root_session_id = theirs->session_id;
    out->ticket.root_address = theirs->client_address;
    out->ticket.features = theirs->features;
    out->ticket.resumes = theirs->resumes;
    out->ticket.proxy_start_ns = theirs->proxy_start_ns;
    out->ticket.root_cluster = asked->user->cluster;
    out->ticket.root_proxy_id = asked->proxy->name;
}
