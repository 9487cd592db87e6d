/* handshake: steps, and what went wrong in words. OpenSSL's queue of errors is empty before each
 * call and after: an old entry would be taken for the reason of the next failure. */
#include "tls/session.h"

#include "clock/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>

static const char *alert_words(int alert)
{
    switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
        return "it refused our certificate: expired";
    case SSL_AD_CERTIFICATE_REVOKED:
        return "it refused our certificate: revoked";
    case SSL_AD_UNKNOWN_CA:
        return "it refused our certificate: it does not know the authority";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_ACCESS_DENIED:
        return "it refused our certificate";
    case TLS13_AD_CERTIFICATE_REQUIRED:
        return "it wants a certificate and we showed none";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return "it does not speak our protocol on this port";
    case SSL_AD_UNRECOGNIZED_NAME:
        return "it does not know the name that we asked for";
    case SSL_AD_PROTOCOL_VERSION:
        return "it does not speak our version of TLS";
    default:
        return NULL;
    }
}

static rl_code alert_code(int alert)
{
    switch (alert) {
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_ACCESS_DENIED:
    case TLS13_AD_CERTIFICATE_REQUIRED:
        return RL_E_UNAUTHENTICATED;
    default:
        return RL_E_UNAVAILABLE;
    }
}

static const char *other_side(const SSL *ssl)
{
    return SSL_is_server(ssl) ? "the client" : "the server";
}

static rl_code explain_alert(const SSL *ssl, int alert, struct rl_error *err)
{
    const char *words = alert_words(alert);
    if (words)
        return rl_fail(err, alert_code(alert), "%s ended the connection: %s", other_side(ssl),
                       words);
    return rl_fail(err, alert_code(alert), "%s ended the connection: TLS alert \"%s\"",
                   other_side(ssl), SSL_alert_desc_string_long(alert));
}

static rl_code explain_reason(const SSL *ssl, int reason, struct rl_error *err)
{
    switch (reason) {
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return rl_fail(err, RL_E_UNAVAILABLE, "%s closed the connection", other_side(ssl));
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return rl_fail(err, RL_E_UNAVAILABLE, "%s does not speak TLS", other_side(ssl));
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
        return rl_fail(err, RL_E_UNAVAILABLE, "%s does not speak our version of TLS",
                       other_side(ssl));
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return rl_fail(err, RL_E_UNAUTHENTICATED, "%s showed no certificate", other_side(ssl));
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return rl_fail(err, RL_E_UNAVAILABLE, "%s speaks another protocol than this port",
                       other_side(ssl));
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return rl_fail(err, RL_E_UNAUTHENTICATED, "%s showed a certificate that is not trusted: %s",
                       other_side(ssl), X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
    default:
        return rl_fail(err, RL_E_UNAVAILABLE, "TLS with %s failed: %s", other_side(ssl),
                       ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, reason)));
    }
}

/* `problem` is SSL_get_error's; `saved_errno` that of the call. */
static rl_code explain(const SSL *ssl, int problem, int saved_errno, struct rl_error *err)
{
    const struct rl_tls_session *session = rl_tls_session_of(ssl);
    unsigned long queued = ERR_peek_error();
    int reason = ERR_GET_REASON(queued);
    rl_code code;
    if (session && session->failure.code != RL_OK) {
        code = rl_fail(err, session->failure.code, "%s", session->failure.message);
    } else if (problem == SSL_ERROR_ZERO_RETURN) {
        code = rl_fail(err, RL_E_UNAVAILABLE, "%s closed the connection", other_side(ssl));
    } else if (problem == SSL_ERROR_SYSCALL && saved_errno) {
        errno = saved_errno;
        code = rl_fail_errno(err, RL_E_UNAVAILABLE, "the connection broke");
    } else if (ERR_GET_LIB(queued) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET) {
        code = explain_alert(ssl, reason - SSL_AD_REASON_OFFSET, err);
    } else if (ERR_GET_LIB(queued) == ERR_LIB_SSL) {
        code = explain_reason(ssl, reason, err);
    } else {
        code = rl_fail(err, RL_E_UNAVAILABLE, "%s closed the connection", other_side(ssl));
    }
    ERR_clear_error();
    return code;
}

rl_code rl_tls_explain(SSL *ssl, int result, struct rl_error *err)
{
    int saved_errno = errno;
    return explain(ssl, SSL_get_error(ssl, result), saved_errno, err);
}

/* What OpenSSL has accepted is not yet all that we ask for. */
static rl_code check_done(SSL *ssl, struct rl_error *err)
{
    const struct rl_tls_session *session = rl_tls_session_of(ssl);
    const uint8_t *alpn = NULL;
    unsigned alpn_n = 0;
    struct rl_identity *peer = NULL;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_n);
    if (session->alpn_must_match && alpn_n == 0)
        return rl_fail(err, RL_E_UNAVAILABLE, "%s does not speak our protocol on this port",
                       other_side(ssl));
    rl_code code = rl_tls_peer(ssl, &peer, err);
    rl_identity_unref(&peer);
    return code;
}

enum rl_tls_progress rl_tls_handshake(SSL *ssl, struct rl_error *err)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(ssl);
    int saved_errno = errno;
    if (result == 1)
        return check_done(ssl, err) == RL_OK ? RL_TLS_DONE : RL_TLS_FAILED;
    int problem = SSL_get_error(ssl, result);
    if (problem == SSL_ERROR_WANT_READ)
        return RL_TLS_WANT_READ;
    if (problem == SSL_ERROR_WANT_WRITE)
        return RL_TLS_WANT_WRITE;
    explain(ssl, problem, saved_errno, err);
    return RL_TLS_FAILED;
}

/* Waits until the socket is ready; RL_E_DEADLINE when `until_ms` comes first. */
static rl_code wait_ready(int fd, bool for_read, uint64_t until_ms, struct rl_error *err)
{
    for (;;) {
        uint64_t now_ms = rl_clock_boot_ms();
        if (now_ms >= until_ms)
            return rl_fail(err, RL_E_DEADLINE, "the TLS handshake took too long");
        struct pollfd poller = {.fd = fd, .events = for_read ? POLLIN : POLLOUT};
        int ready = poll(&poller, 1, (int)(until_ms - now_ms));
        if (ready > 0)
            return RL_OK;
        if (ready < 0 && errno != EINTR)
            return rl_fail_errno(err, RL_E_UNAVAILABLE, "waiting for the TLS handshake");
    }
}

rl_code rl_tls_handshake_blocking(SSL *ssl, int timeout_ms, struct rl_error *err)
{
    struct rl_error local = {0};
    struct rl_error *why = err ? err : &local;
    int fd = SSL_get_fd(ssl);
    int flags = fcntl(fd, F_GETFL);
    uint64_t until_ms = rl_clock_boot_ms() + (uint64_t)timeout_ms;
    rl_code code = RL_OK;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "preparing the TLS handshake");
    enum rl_tls_progress progress = rl_tls_handshake(ssl, why);
    while (code == RL_OK && (progress == RL_TLS_WANT_READ || progress == RL_TLS_WANT_WRITE)) {
        code = wait_ready(fd, progress == RL_TLS_WANT_READ, until_ms, err);
        if (code == RL_OK)
            progress = rl_tls_handshake(ssl, why);
    }
    fcntl(fd, F_SETFL, flags);
    return code == RL_OK && progress == RL_TLS_FAILED ? why->code : code;
}
