/* session: what an SSL object of ours carries with it: whose it is, what the peer must be, and what
 * it turned out to be. Internal to tls.
 */
#ifndef RL_TLS_SESSION_H
#define RL_TLS_SESSION_H

#include "tls/tls.h"

/** Judges the chain that the peer sent, or the leaf alone of a resumed session. */
typedef rl_code (*rl_tls_judge_fn)(const void *owner, const struct rl_trust *trust,
                                   STACK_OF(X509) * chain, int64_t now_s, struct rl_identity **out,
                                   struct rl_error *err);

struct rl_tls_session {
    bool is_server;
    struct rl_tls_server *server; /* ref; one of the two */
    struct rl_tls_client *client; /* ref */
    struct rl_trust *trust;       /* ref, as of the start; may be NULL */
    rl_tls_judge_fn judge;        /* NULL: OpenSSL's own judgement counts, or none */
    int64_t (*now_s)(void *context);
    void *now_context;
    bool peer_must_show; /* a certificate */
    bool alpn_must_match;
    char *sni_expected;       /* NULL: any; "" : none */
    SSL_SESSION *offered;     /* client: to be resumed; NULL: none was left of another connection */
    struct rl_identity *peer; /* ref, once it was judged */
    struct rl_error failure;  /* code RL_OK: none */
};

/** Takes `session` over; it is freed with the SSL. */
void rl_tls_session_attach(SSL *ssl, struct rl_tls_session *session);
struct rl_tls_session *rl_tls_session_of(const SSL *ssl);
int64_t rl_tls_session_now_s(const struct rl_tls_session *session);
/** The connection ends: what it offered to resume and nobody looked at is kept for the next one. */
void rl_tls_client_take_back(SSL *ssl, struct rl_tls_session *session);
/** For SSL_CTX_set_cert_verify_callback. */
int rl_tls_verify(X509_STORE_CTX *store, void *unused);

/** What every context of ours has: versions, ciphers, modes; and the certificate, if any. */
rl_code rl_tls_context_create(const SSL_METHOD *method, bool allow_tls12,
                              const struct rl_tls_identity *identity, SSL_CTX **out,
                              struct rl_error *err);
/** RL_E_INTERNAL with OpenSSL's reason; empties its queue. */
rl_code rl_tls_fail(struct rl_error *err, const char *what);

/** A BIO over a non-blocking socket, which stays the caller's, whose first bytes are `prefix`
 * (copied). It never raises SIGPIPE. NULL: no memory. */
BIO *rl_tls_socket_bio(int fd, struct rl_span prefix);

#endif
