/* proxy_protocol: reads any PROXY v2 header of a TCP connection, and writes and verifies the one
 * with our signature. Lengths are checked before anything is believed; a header of version 1 is
 * refused by name, because guessing between the two is how addresses get spoofed. */
#include "tls/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 16
#define LOCAL 0x20
#define PROXY 0x21
#define UNSPECIFIED 0x00
#define TCP4 0x11
#define TCP6 0x21
#define TLV_CRC32C 0x03
#define TLV_SIGNATURE 0xE4
#define SIGNATURE_FORMAT 1
#define SIGNATURE_CONTEXT "remoteler-proxy-v2"
#define RANDOM_BYTES 32

static const uint8_t magic[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char version_1[] = "PROXY ";

static enum rl_proxy_result bad(struct rl_error *err, const char *why)
{
    rl_fail(err, RL_E_INVAL, "no PROXY header that is taken here: %s", why);
    return RL_PROXY_BAD;
}

/* ---- addresses ---- */

static struct sockaddr_storage read_address(struct rl_span ip, uint16_t port)
{
    struct sockaddr_storage address = {0};
    if (ip.n == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&v4.sin_addr, ip.p, 4);
        memcpy(&address, &v4, sizeof v4);
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&v6.sin6_addr, ip.p, 16);
        memcpy(&address, &v6, sizeof v6);
    }
    return address;
}

static void read_addresses(struct rl_cursor *c, size_t ip_bytes, struct rl_proxy_header *out)
{
    struct rl_span source = rl_cursor_bytes(c, ip_bytes);
    struct rl_span destination = rl_cursor_bytes(c, ip_bytes);
    uint16_t source_port = rl_cursor_u16(c);
    uint16_t destination_port = rl_cursor_u16(c);
    if (c->failed)
        return;
    out->source = read_address(source, source_port);
    out->destination = read_address(destination, destination_port);
}

static void put_ip(const struct sockaddr *address, bool as_v6, struct rl_buf *out)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        rl_buf_put(out, &v6.sin6_addr, 16);
        return;
    }
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof v4);
    if (as_v6)
        rl_buf_put(out, mapped, sizeof mapped);
    rl_buf_put(out, &v4.sin_addr, 4);
}

static uint16_t port_of(const struct sockaddr *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        return ntohs(v6.sin6_port);
    }
    memcpy(&v4, address, sizeof v4);
    return ntohs(v4.sin_port);
}

static bool is_ip(const struct sockaddr *address)
{
    return address->sa_family == AF_INET || address->sa_family == AF_INET6;
}

/* Version and command, family, length of what follows (`more` bytes beyond the addresses),
 * addresses. The same bytes, with `more` 0, are what the signature covers. */
static void put_head(const struct sockaddr *source, const struct sockaddr *destination, size_t more,
                     struct rl_buf *out)
{
    if (!source) {
        rl_buf_put_u8(out, LOCAL);
        rl_buf_put_u8(out, UNSPECIFIED);
        rl_buf_put_u16(out, (uint16_t)more);
        return;
    }
    bool as_v6 = source->sa_family == AF_INET6 || destination->sa_family == AF_INET6;
    rl_buf_put_u8(out, PROXY);
    rl_buf_put_u8(out, as_v6 ? TCP6 : TCP4);
    rl_buf_put_u16(out, (uint16_t)((as_v6 ? 36 : 12) + more));
    put_ip(source, as_v6, out);
    put_ip(destination, as_v6, out);
    rl_buf_put_u16(out, port_of(source));
    rl_buf_put_u16(out, port_of(destination));
}

/* ---- parsing ---- */

/* CRC-32C (Castagnoli), reflected, over the header with the checksum's own four bytes as zeros. */
static uint32_t checksum(struct rl_span header, const uint8_t *own)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < header.n; i++) {
        const uint8_t *at = header.p + i;
        crc ^= at >= own && at < own + 4 ? 0u : *at;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0u);
    }
    return ~crc;
}

static const char *read_tlv(struct rl_span header, uint8_t type, struct rl_span value,
                            struct rl_proxy_header *out)
{
    if (type == TLV_SIGNATURE) {
        if (out->signature_tlv.n)
            return "it is signed twice";
        out->signature_tlv = value;
    }
    if (type == TLV_CRC32C) {
        struct rl_cursor c = rl_cursor_of(value);
        uint32_t said = rl_cursor_u32(&c);
        if (!rl_cursor_done(&c) || said != checksum(header, value.p))
            return "its checksum is wrong";
    }
    return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *read_whole(struct rl_span header, struct rl_proxy_header *out)
{
    struct rl_cursor c = rl_cursor_of(header);
    rl_cursor_bytes(&c, sizeof magic);
    uint8_t command = rl_cursor_u8(&c);
    uint8_t family = rl_cursor_u8(&c);
    rl_cursor_u16(&c);
    if (command != PROXY && command != LOCAL)
        return "its version or command is not known";
    if (family == TCP4 || family == TCP6)
        read_addresses(&c, family == TCP4 ? 4 : 16, out);
    else if (command == PROXY || family != UNSPECIFIED)
        return "it is not about TCP over IPv4 or IPv6";
    out->is_local = command == LOCAL;
    while (!c.failed && c.n > 0) {
        uint8_t type = rl_cursor_u8(&c);
        struct rl_span value = rl_cursor_bytes(&c, rl_cursor_u16(&c));
        const char *wrong = c.failed ? NULL : read_tlv(header, type, value, out);
        if (wrong)
            return wrong;
    }
    return c.failed ? "its lengths do not add up" : NULL;
}

/* The first bytes: is it a header of version 2? */
static enum rl_proxy_result check_magic(struct rl_span bytes, struct rl_error *err)
{
    size_t known = bytes.n < sizeof magic ? bytes.n : sizeof magic;
    size_t old = bytes.n < strlen(version_1) ? bytes.n : strlen(version_1);
    if (known == 0 || memcmp(bytes.p, magic, known) == 0)
        return bytes.n < HEADER_BYTES ? RL_PROXY_MORE : RL_PROXY_WHOLE;
    if (memcmp(bytes.p, version_1, old) != 0)
        return bad(err, "there is none");
    if (old < strlen(version_1))
        return RL_PROXY_MORE;
    return bad(err, "it is of version 1; set the balancer to version 2");
}

enum rl_proxy_result rl_proxy_header_parse(struct rl_span bytes, struct rl_proxy_header *out,
                                           struct rl_error *err)
{
    struct rl_proxy_header header = {0};
    enum rl_proxy_result result = check_magic(bytes, err);
    if (result != RL_PROXY_WHOLE)
        return result;
    header.bytes = HEADER_BYTES + ((size_t)bytes.p[14] << 8 | bytes.p[15]);
    if (header.bytes > RL_PROXY_HEADER_BYTES_MAX)
        return bad(err, "it is too long");
    if (bytes.n < header.bytes)
        return RL_PROXY_MORE;
    const char *wrong = read_whole(RL_SPAN(bytes.p, header.bytes), &header);
    if (wrong)
        return bad(err, wrong);
    if (header.is_local) {
        memset(&header.source, 0, sizeof header.source);
        memset(&header.destination, 0, sizeof header.destination);
    }
    *out = header;
    return RL_PROXY_WHOLE;
}

/* ---- the signature ---- */

static void put_signed(const struct sockaddr *source, const struct sockaddr *destination,
                       int64_t time_s, const uint8_t hello_random[RANDOM_BYTES], struct rl_buf *out)
{
    put_head(source, destination, 0, out);
    rl_buf_put_u64(out, (uint64_t)time_s);
    rl_buf_put(out, hello_random, RANDOM_BYTES);
}

static rl_code check_signer(X509 *certificate, const struct rl_trust *trust, int64_t now_s,
                            struct rl_identity **out, struct rl_error *err)
{
    struct rl_identity *signer = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    RL_ASSERT(chain && sk_X509_push(chain, certificate) > 0);
    rl_code code = rl_identity_check(trust, chain, false, now_s, &signer, err);
    sk_X509_free(chain);
    /* A broker brings who comes from a root. */
    bool may_sign =
        code == RL_OK && strcmp(signer->cluster, rl_trust_cluster(trust)) == 0 &&
        (rl_identity_is_service(signer, "proxy") || rl_identity_is_service(signer, "broker"));
    if (code == RL_OK && !may_sign)
        code = rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the PROXY header is not signed by a proxy of this cluster");
    if (code == RL_OK)
        *out = signer;
    else
        rl_identity_unref(&signer);
    return code;
}

static rl_code check_signature(const struct rl_proxy_header *header, EVP_PKEY *key, int64_t time_s,
                               const uint8_t hello_random[RANDOM_BYTES], struct rl_span signature,
                               struct rl_error *err)
{
    struct rl_buf body;
    rl_buf_init(&body, RL_PROXY_HEADER_BYTES_MAX);
    put_signed(header->is_local ? NULL : (const struct sockaddr *)&header->source,
               (const struct sockaddr *)&header->destination, time_s, hello_random, &body);
    rl_code code = rl_key_verify(key, SIGNATURE_CONTEXT, rl_buf_span(&body), signature, NULL);
    rl_buf_fini(&body);
    return code == RL_OK ? RL_OK
                         : rl_fail(err, RL_E_UNAUTHENTICATED,
                                   "the PROXY header's signature is wrong, or of another "
                                   "connection");
}

/* ---- those who signed before ---- */

static void forget_signer(struct rl_proxy_signer *signer)
{
    X509_free(signer->certificate);
    signer->certificate = NULL;
    rl_identity_unref(&signer->identity);
    rl_buf_fini(&signer->der);
}

void rl_proxy_signers_fini(struct rl_proxy_signers *signers)
{
    for (size_t i = 0; i < RL_PROXY_SIGNERS_MAX; i++)
        if (signers->list[i].certificate)
            forget_signer(&signers->list[i]);
    rl_trust_unref(&signers->trust);
    signers->next = 0;
}

/* Still to be held against the clock. NULL: not one of them. */
static const struct rl_proxy_signer *known_signer(const struct rl_proxy_signers *known,
                                                  const struct rl_trust *trust, struct rl_span der,
                                                  int64_t now_s)
{
    for (size_t i = 0; known && known->trust == trust && i < RL_PROXY_SIGNERS_MAX; i++) {
        const struct rl_proxy_signer *signer = &known->list[i];
        if (signer->certificate && rl_span_equal(rl_buf_span(&signer->der), der))
            return now_s >= signer->identity->not_before_s && now_s <= signer->identity->not_after_s
                       ? signer
                       : NULL;
    }
    return NULL;
}

static void keep_signer(struct rl_proxy_signers *known, struct rl_trust *trust, struct rl_span der,
                        X509 *certificate, const struct rl_identity *identity)
{
    if (!known || X509_up_ref(certificate) != 1)
        return;
    if (known->trust != trust) {
        rl_proxy_signers_fini(known);
        known->trust = rl_trust_ref(trust);
    }
    struct rl_proxy_signer *signer = &known->list[known->next];
    known->next = (known->next + 1) % RL_PROXY_SIGNERS_MAX;
    if (signer->certificate)
        forget_signer(signer);
    signer->certificate = certificate;
    signer->identity = rl_identity_ref(identity);
    rl_buf_init(&signer->der, RL_PROXY_HEADER_BYTES_MAX);
    rl_buf_put_span(&signer->der, der);
}

/* Owns: *certificate by X509_free(), *who by rl_identity_unref(). */
static rl_code read_signer(struct rl_span der, struct rl_trust *trust, int64_t now_s,
                           struct rl_proxy_signers *known, X509 **certificate,
                           struct rl_identity **who, struct rl_error *err)
{
    const struct rl_proxy_signer *signer = known_signer(known, trust, der, now_s);
    if (signer && X509_up_ref(signer->certificate) == 1) {
        *certificate = signer->certificate;
        *who = rl_identity_ref(signer->identity);
        return RL_OK;
    }
    if (rl_x509_from_der(der, certificate, err) != RL_OK)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the PROXY header's signer can not be read");
    rl_code code = check_signer(*certificate, trust, now_s, who, err);
    if (code == RL_OK)
        keep_signer(known, trust, der, *certificate, *who);
    return code;
}

rl_code rl_proxy_header_verify(const struct rl_proxy_header *header, struct rl_trust *trust,
                               const uint8_t hello_random[32], int64_t now_s,
                               struct rl_proxy_signers *known, struct rl_identity **signer,
                               struct rl_error *err)
{
    struct rl_identity *who = NULL;
    struct rl_cursor c = rl_cursor_of(header->signature_tlv);
    uint8_t format = rl_cursor_u8(&c);
    int64_t time_s = (int64_t)rl_cursor_u64(&c);
    struct rl_span der = rl_cursor_bytes(&c, rl_cursor_u16(&c));
    struct rl_span signature = rl_cursor_bytes(&c, c.n);
    X509 *certificate = NULL;
    if (header->signature_tlv.n == 0)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the PROXY header is not signed");
    if (c.failed || format != SIGNATURE_FORMAT)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "the PROXY header's signature can not be read");
    if (time_s < now_s - RL_PROXY_AGE_S_MAX || time_s > now_s + RL_PROXY_AGE_S_MAX)
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "the PROXY header is not of this minute: is a clock wrong?");
    rl_code code = read_signer(der, trust, now_s, known, &certificate, &who, err);
    if (code == RL_OK)
        code = check_signature(header, X509_get0_pubkey(certificate), time_s, hello_random,
                               signature, err);
    X509_free(certificate);
    if (code == RL_OK && signer)
        *signer = who;
    else
        rl_identity_unref(&who);
    return code;
}

/* ---- writing ---- */

/* The TLV's value. */
static rl_code make_signature(const struct sockaddr *source, const struct sockaddr *destination,
                              const uint8_t hello_random[RANDOM_BYTES], int64_t now_s,
                              EVP_PKEY *key, X509 *certificate, struct rl_buf *out,
                              struct rl_error *err)
{
    struct rl_buf body, der;
    rl_buf_init(&body, RL_PROXY_HEADER_BYTES_MAX);
    rl_buf_init(&der, RL_PROXY_HEADER_BYTES_MAX);
    put_signed(source, destination, now_s, hello_random, &body);
    rl_code code = rl_x509_to_der(certificate, &der, err);
    if (code == RL_OK) {
        rl_buf_put_u8(out, SIGNATURE_FORMAT);
        rl_buf_put_u64(out, (uint64_t)now_s);
        rl_buf_put_u16(out, (uint16_t)der.n);
        rl_buf_put_span(out, rl_buf_span(&der));
        code = rl_key_sign(key, SIGNATURE_CONTEXT, rl_buf_span(&body), out, err);
    }
    rl_buf_fini(&body);
    rl_buf_fini(&der);
    return code;
}

rl_code rl_proxy_header_write(const struct sockaddr *source, const struct sockaddr *destination,
                              const uint8_t hello_random[32], int64_t now_s, EVP_PKEY *key,
                              X509 *certificate, struct rl_buf *out, struct rl_error *err)
{
    struct rl_buf value, header;
    if (source && !(is_ip(source) && is_ip(destination)))
        return rl_fail(err, RL_E_INVAL, "a PROXY header is about TCP over IPv4 or IPv6");
    rl_buf_init(&value, RL_PROXY_HEADER_BYTES_MAX);
    rl_buf_init(&header, RL_PROXY_HEADER_BYTES_MAX);
    rl_code code =
        make_signature(source, destination, hello_random, now_s, key, certificate, &value, err);
    if (code == RL_OK) {
        rl_buf_put(&header, magic, sizeof magic);
        put_head(source, destination, 3 + value.n, &header);
        rl_buf_put_u8(&header, TLV_SIGNATURE);
        rl_buf_put_u16(&header, (uint16_t)value.n);
        rl_buf_put_span(&header, rl_buf_span(&value));
        if (header.failed || !rl_buf_put_span(out, rl_buf_span(&header)))
            code = rl_fail(err, RL_E_EXHAUSTED, "the PROXY header would be too long");
    }
    rl_buf_fini(&value);
    rl_buf_fini(&header);
    return code;
}
