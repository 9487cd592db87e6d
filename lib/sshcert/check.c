/* check: is this certificate good, for this person, now, from here? Decisions start as no. */
#include "sshcert/sshcert.h"

#include "types.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define CERT_SUFFIX "-cert-v01@openssh.com"

rl_code rl_sshcert_verify(const struct rl_sshcert *cert, const struct rl_span *authorities,
                          size_t authorities_n, struct rl_error *err)
{
    bool is_trusted = false;
    for (size_t i = 0; i < authorities_n; i++)
        is_trusted |= rl_span_equal(authorities[i], cert->ca_key);
    if (!is_trusted)
        return rl_fail(err, RL_E_DENIED, "certificate was not signed by a trusted authority");
    struct rl_error why;
    if (rl_sshkey_verify(cert->ca_key, RL_SPAN(NULL, 0), cert->signature, cert->signed_part,
                         &why) != RL_OK)
        return rl_fail(err, RL_E_DENIED, "certificate's signature is wrong: %s", why.message);
    return RL_OK;
}

static rl_code check_time(const struct rl_sshcert *cert, int64_t now_s, struct rl_error *err)
{
    if (now_s < 0 || (uint64_t)now_s < cert->valid_after_s)
        return rl_fail(err, RL_E_DENIED, "certificate is not valid yet; check the clocks");
    if ((uint64_t)now_s >= cert->valid_before_s)
        return rl_fail(err, RL_E_DENIED, "certificate expired; log in again");
    return RL_OK;
}

static bool has_principal(const struct rl_sshcert *cert, const char *wanted)
{
    size_t at = 0;
    struct rl_span name;
    while (rl_sshcert_principal(cert, &at, &name))
        if (rl_span_is(name, wanted))
            return true;
    return false;
}

/* Says which logins there would be: the user's own certificate is no secret to them. */
static rl_code refuse_login(const struct rl_sshcert *cert, const char *login, struct rl_error *err)
{
    struct rl_buf names;
    rl_buf_init(&names, RL_ERROR_MESSAGE_BYTES / 2);
    size_t at = 0;
    struct rl_span name;
    while (rl_sshcert_principal(cert, &at, &name))
        rl_buf_printf(&names, "%s%.*s", names.n ? ", " : "", (int)name.n, (const char *)name.p);
    rl_code rc =
        rl_fail(err, RL_E_DENIED, "the certificate does not allow login \"%s\"; it allows: %s",
                login, names.n ? rl_buf_text(&names) : "none");
    rl_buf_fini(&names);
    return rc;
}

/* An address in network order; an IPv4 address in IPv6's clothes is the IPv4 one. */
struct address {
    uint8_t bytes[16];
    unsigned bits;
};

static bool parse_address(const char *text, struct address *out)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (inet_pton(AF_INET, text, out->bytes) == 1) {
        out->bits = 32;
        return true;
    }
    if (inet_pton(AF_INET6, text, out->bytes) != 1)
        return false;
    out->bits = 128;
    if (memcmp(out->bytes, mapped, sizeof mapped) == 0) {
        memmove(out->bytes, out->bytes + sizeof mapped, 4);
        out->bits = 32;
    }
    return true;
}

/* "10.0.0.0/8" or a lone address. */
static bool parse_network(struct rl_span text, struct address *net, unsigned *prefix)
{
    char copy[INET6_ADDRSTRLEN + 4];
    if (text.n == 0 || text.n >= sizeof copy || memchr(text.p, 0, text.n))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    if (!parse_address(copy, net))
        return false;
    *prefix = net->bits;
    if (!slash)
        return true;
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 3 || slash[1 + digits] != '\0')
        return false;
    *prefix = (unsigned)strtoul(slash + 1, NULL, 10);
    return *prefix <= net->bits;
}

static bool is_inside(const struct address *a, const struct address *net, unsigned prefix)
{
    if (a->bits != net->bits || memcmp(a->bytes, net->bytes, prefix / 8) != 0)
        return false;
    unsigned rest = prefix % 8;
    return rest == 0 || ((a->bytes[prefix / 8] ^ net->bytes[prefix / 8]) >> (8 - rest)) == 0;
}

/* A list with anything in it that cannot be read lets nobody in. */
static bool source_is_allowed(struct rl_span list, const char *peer_address)
{
    struct address peer;
    if (!peer_address || !parse_address(peer_address, &peer))
        return false;
    bool is_allowed = false;
    while (true) {
        const uint8_t *comma = list.n ? memchr(list.p, ',', list.n) : NULL;
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        struct address net;
        unsigned prefix;
        if (!parse_network(RL_SPAN(list.p, n), &net, &prefix))
            return false;
        is_allowed |= is_inside(&peer, &net, prefix);
        if (!comma)
            return is_allowed;
        list = RL_SPAN(comma + 1, list.n - n - 1);
    }
}

rl_code rl_sshcert_check_user(const struct rl_sshcert *cert, const char *login, int64_t now_s,
                              const char *peer_address, struct rl_error *err)
{
    if (cert->kind != RL_SSHCERT_USER)
        return rl_fail(err, RL_E_DENIED, "this is a host's certificate, not a user's");
    rl_code rc = check_time(cert, now_s, err);
    if (rc != RL_OK)
        return rc;
    if (login ? !has_principal(cert, login) : cert->principals.n == 0)
        return refuse_login(cert, login ? login : "", err);
    if (cert->has_source_address && !source_is_allowed(cert->source_address, peer_address))
        return rl_fail(err, RL_E_DENIED, "the certificate is not valid from address %s",
                       peer_address && *peer_address ? peer_address : "(unknown)");
    return RL_OK;
}

rl_code rl_sshcert_check_host(const struct rl_sshcert *cert, const char *host, int64_t now_s,
                              struct rl_error *err)
{
    if (cert->kind != RL_SSHCERT_HOST)
        return rl_fail(err, RL_E_DENIED, "this is a user's certificate, not a host's");
    if (cert->has_force_command || cert->has_source_address)
        return rl_fail(err, RL_E_DENIED, "a host's certificate has no critical options");
    rl_code rc = check_time(cert, now_s, err);
    if (rc != RL_OK)
        return rc;
    if (!has_principal(cert, host))
        return rl_fail(err, RL_E_DENIED, "the certificate is not for host \"%s\"", host);
    return RL_OK;
}

rl_code rl_sshcert_check_possession(const struct rl_sshcert *cert, struct rl_span algorithm,
                                    struct rl_span signature, struct rl_span data,
                                    struct rl_error *err)
{
    const struct key_type *type = rl_key_type_by_cert_name(cert->type_name);
    RL_ASSERT(type);
    /* "rsa-sha2-512-cert-v01@openssh.com" asks for a signature by "rsa-sha2-512"; a security
     * key's certificate has its "@openssh.com" once, its signature too. */
    struct rl_span plain = rl_span_of(type->name);
    if (!rl_span_is(algorithm, type->cert_name)) {
        size_t suffix = strlen(CERT_SUFFIX);
        if (type->family != KEY_RSA || algorithm.n <= suffix ||
            memcmp(algorithm.p + algorithm.n - suffix, CERT_SUFFIX, suffix) != 0)
            return rl_fail(err, RL_E_DENIED, "signature algorithm does not suit the certificate");
        plain = RL_SPAN(algorithm.p, algorithm.n - suffix);
    }
    struct rl_buf subject;
    rl_buf_init(&subject, RL_SSHKEY_BLOB_BYTES_MAX);
    rl_code rc = rl_sshcert_subject_blob(cert, &subject, err);
    if (rc == RL_OK)
        rc = rl_sshkey_verify(rl_buf_span(&subject), plain, signature, data, err);
    rl_buf_fini(&subject);
    return rc;
}
