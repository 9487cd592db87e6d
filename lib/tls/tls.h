/* tls: OpenSSL for every port that faces the world, and for agent, tsh and tctl. TLS 1.3 (the
 * browser's route may be 1.2), no early data, a context for each route with its own session-id
 * context and ticket keys; a resumed session is checked like a new one.
 */
#ifndef RL_TLS_H
#define RL_TLS_H

#include "identity/identity.h"

#include <openssl/ssl.h>

#define RL_TLS_SNI_SUFFIX ".remoteler.internal"

/** One's own certificate and key. Immutable, shared; a new one replaces it in the contexts. */
struct rl_tls_identity;
rl_code rl_tls_identity_create(const struct rl_span *chain_der, size_t chain_count, EVP_PKEY *key,
                               struct rl_tls_identity **out, struct rl_error *err);
rl_code rl_tls_identity_create_pem(struct rl_span chain_pem, struct rl_span key_pem,
                                   struct rl_tls_identity **out, struct rl_error *err);
struct rl_tls_identity *rl_tls_identity_ref(struct rl_tls_identity *identity);
void rl_tls_identity_unref(struct rl_tls_identity **identity);
int64_t rl_tls_identity_not_after_s(const struct rl_tls_identity *identity);
X509 *rl_tls_identity_certificate(const struct rl_tls_identity *identity); /* borrowed */
EVP_PKEY *rl_tls_identity_key(const struct rl_tls_identity *identity);     /* borrowed */
/** PEM of chain and key, for gRPC core's own TLS. */
rl_code rl_tls_identity_pem(const struct rl_tls_identity *identity, struct rl_buf *chain,
                            struct rl_buf *key, struct rl_error *err);

enum rl_tls_client_certificate {
    RL_TLS_CLIENT_NONE,     /* not asked for: browsers never prompt */
    RL_TLS_CLIENT_OPTIONAL, /* auth's port: asks, tolerates none; what comes must be good */
    RL_TLS_CLIENT_REQUIRED,
};

struct rl_tls_server_config {
    const char *route;                /* session-id context: "auth", "connect", "web" */
    struct rl_tls_identity *identity; /* ref taken */
    struct rl_trust *trust;           /* ref taken; NULL with RL_TLS_CLIENT_NONE */
    enum rl_tls_client_certificate client;
    const char *const *alpn; /* in order of preference; NULL-terminated; one must match */
    bool allow_no_alpn;      /* a client that offers none is taken all the same (kubectl) */
    bool allow_tls12;
    bool allow_resumption;           /* tickets, by the keys of rl_tls_server_set_ticket_keys */
    int64_t (*now_s)(void *context); /* NULL: the wall clock */
    void *now_context;
};

struct rl_tls_server;
rl_code rl_tls_server_create(const struct rl_tls_server_config *config, struct rl_tls_server **out,
                             struct rl_error *err);
struct rl_tls_server *rl_tls_server_ref(struct rl_tls_server *server);
void rl_tls_server_unref(struct rl_tls_server **server);
/** New handshakes use it from now on; running connections keep theirs. NULL: as before. Any thread.
 */
rl_code rl_tls_server_reload(struct rl_tls_server *server, struct rl_tls_identity *identity,
                             struct rl_trust *trust, struct rl_error *err);
/** At most 8 80-byte keys of the service, newest first: it encrypts, all decrypt. The route uses
 * what it derives from them. */
rl_code rl_tls_server_set_ticket_keys(struct rl_tls_server *server, const struct rl_span *keys,
                                      size_t count, struct rl_error *err);
/** An accepting SSL over a non-blocking socket whose first bytes, `already_read`, were taken off it
 * (copied). The descriptor stays the caller's. `sni_expected` (or NULL): what OpenSSL parses must
 * equal it; "" : no name at all. Owns: *out by SSL_free(). */
rl_code rl_tls_accept(struct rl_tls_server *server, int fd, struct rl_span already_read,
                      const char *sni_expected, SSL **out, struct rl_error *err);

struct rl_tls_client_config {
    struct rl_tls_identity *identity; /* NULL: none is shown */
    struct rl_trust *trust;           /* NULL only with pin, system_trust or insecure */
    const char *alpn;                 /* "h2", "remoteler-connect", "http/1.1"; must be chosen */
    const char *sni;                  /* sent; NULL: none */
    /* who must answer, by SPIFFE: */
    enum rl_identity_kind peer_kind;
    const char *peer_service; /* for services: "auth"; NULL: any */
    const char *peer_name;    /* an agent's UUID; NULL: any */
    const char *peer_cluster; /* NULL: the trust's own */
    /* or, before any trust is there: */
    const char *pin;      /* sha256:hex of the SPKI of an authority in the sent chain;
                             without meaning once there is a trust */
    const char *web_host; /* system trust and this host name */
    bool insecure;        /* nothing is checked: `--insecure` */
    int64_t (*now_s)(void *context);
    void *now_context;
};

struct rl_tls_client;
rl_code rl_tls_client_create(const struct rl_tls_client_config *config, struct rl_tls_client **out,
                             struct rl_error *err);
struct rl_tls_client *rl_tls_client_ref(struct rl_tls_client *client);
void rl_tls_client_unref(struct rl_tls_client **client);
rl_code rl_tls_client_reload(struct rl_tls_client *client, struct rl_tls_identity *identity,
                             struct rl_trust *trust, struct rl_error *err);
/** A connecting SSL over a non-blocking socket; the descriptor stays the caller's. It offers the
 * session of this client's last connection, once, where a trust had judged the server; identity and
 * trust are checked anew. Errors: RL_E_INTERNAL. Owns: *out by SSL_free(). Threads: any. */
rl_code rl_tls_connect(struct rl_tls_client *client, int fd, SSL **out, struct rl_error *err);

/* ---- both sides ---- */

enum rl_tls_progress { RL_TLS_DONE, RL_TLS_WANT_READ, RL_TLS_WANT_WRITE, RL_TLS_FAILED };
/** One step of the handshake on a non-blocking socket. On RL_TLS_FAILED `err` says why, in words:
 * the peer's alert or what was wrong with its certificate. */
enum rl_tls_progress rl_tls_handshake(SSL *ssl, struct rl_error *err);
/** After SSL_read or SSL_write failed for good (not WANT_*): why, in words. TLS 1.3 tells a client
 * only now that its certificate was refused. RL_E_UNAUTHENTICATED then, else RL_E_UNAVAILABLE. Call
 * it before anything that sets errno. */
rl_code rl_tls_explain(SSL *ssl, int result, struct rl_error *err);
/** After the handshake: who the peer is, checked now (a resumed session too). *out is NULL for a
 * client that showed no certificate. Owns: by rl_identity_unref(). */
rl_code rl_tls_peer(SSL *ssl, struct rl_identity **out, struct rl_error *err);
/** The same steps for a blocking socket (tsh). Bounded by timeout_ms. */
rl_code rl_tls_handshake_blocking(SSL *ssl, int timeout_ms, struct rl_error *err);
/** The authority certificate at the top of the peer's sent chain, if it signed the leaf, for
 * pinning on first use; may be NULL. Owns: by X509_free(). */
X509 *rl_tls_peer_authority(SSL *ssl);

/* ---- many bytes ---- */

#define RL_TLS_RECORD_BYTES 16384 /* of data, at most */
#define RL_TLS_GATHER_RECORDS 4
/* So many, as long as they can be on the wire. Source: RFC 8446 5.2. */
#define RL_TLS_GATHER_BYTES (RL_TLS_GATHER_RECORDS * (5 + RL_TLS_RECORD_BYTES + 256))
/** From now on one system call reads or sends several records: what is written waits until so much
 * has come together, or for rl_tls_flush(), and WANT_READ may come without a look at the socket:
 * for who waits level-triggered. After the handshake; for an SSL of rl_tls_accept() or
 * rl_tls_connect(). Costs no memory while nothing waits. */
void rl_tls_gather(SSL *ssl);
/** Sends what waits. RL_TLS_DONE: all of it; RL_TLS_WANT_WRITE: the socket takes no more now;
 * RL_TLS_FAILED: it is broken, errno says why. */
enum rl_tls_progress rl_tls_flush(SSL *ssl);
/** Closing now would lose bytes that SSL_write() has taken. */
bool rl_tls_has_unsent(const SSL *ssl);

#endif
