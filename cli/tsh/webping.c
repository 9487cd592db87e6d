/* webping: one small request and its whole answer; the connection closes after it. A general HTTP
 * client would be most of tsh's start-up time (docs/decisions).
 */
#include "webping.h"

#include "bytes/buf.h"
#include "dial/dial.h"
#include "identity/identity.h"
#include "names/names.h"
#include "protocol/protocol.h"
#include "tls/tls.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_MS 5000
#define ANSWER_BYTES_MAX 65536

static rl_code read_answer(SSL *ssl, struct rl_buf *out, struct rl_error *err)
{
    for (;;) {
        uint8_t *to = rl_buf_reserve(out, 4096);
        if (!to)
            return rl_fail(err, RL_E_UNAVAILABLE, "the proxy's answer is too long");
        int n = SSL_read(ssl, to, 4096);
        if (n <= 0)
            return out->n ? RL_OK : rl_fail(err, RL_E_UNAVAILABLE, "the proxy did not answer");
        out->n += (size_t)n;
    }
}

/* 0 when it is no number, or not there. */
static uint32_t version(const json_t *ping, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(ping, key));
    return value > 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
}

rl_code tsh_webping_read(const char *answer, char **pin, struct rl_error *err)
{
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || !body)
        return rl_fail(err, RL_E_UNAVAILABLE, "this is no Remoteler proxy: GET /v1/ping failed");
    json_t *ping = json_loads(body + 4, 0, NULL);
    const char *value = json_string_value(json_object_get(ping, "ca_pin"));
    rl_code rc = value && rl_identity_pin_check(value, NULL) == RL_OK
                     ? RL_OK
                     : rl_fail(err, RL_E_UNAVAILABLE, "the proxy's answer names no pin");
    if (rc == RL_OK)
        rc = rl_protocol_check(version(ping, "protocol"), version(ping, "protocol_min"),
                               "the cluster", err);
    if (rc == RL_OK)
        *pin = rl_strdup(value);
    json_decref(ping);
    return rc;
}

/* The socket of a blocking exchange, with a bound on each wait. */
static rl_code connect_blocking(const char *proxy, int *fd, struct rl_error *err)
{
    rl_code rc = rl_dial_blocking(proxy, TIMEOUT_MS, fd, err);
    if (rc != RL_OK)
        return rc;
    const struct timeval bound = {.tv_sec = TIMEOUT_MS / 1000};
    fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) & ~O_NONBLOCK);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    return RL_OK;
}

static rl_code get(const char *proxy, bool insecure, char **pin, struct rl_error *err)
{
    struct rl_tls_client *tls = NULL;
    struct rl_buf answer;
    SSL *ssl = NULL;
    char *host = NULL, *request = NULL;
    uint16_t port = 0;
    int fd = -1;
    rl_buf_init(&answer, ANSWER_BYTES_MAX);
    rl_code rc = rl_address_split(proxy, &host, &port, err);
    if (rc != RL_OK)
        return rc;
    const struct rl_tls_client_config config = {
        .alpn = "http/1.1",
        .sni = host,
        .web_host = insecure ? NULL : host,
        .insecure = insecure,
    };
    request = rl_sprintf("GET /v1/ping HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", proxy);
    if ((rc = rl_tls_client_create(&config, &tls, err)) == RL_OK &&
        (rc = connect_blocking(proxy, &fd, err)) == RL_OK &&
        (rc = rl_tls_connect(tls, fd, &ssl, err)) == RL_OK &&
        (rc = rl_tls_handshake_blocking(ssl, TIMEOUT_MS, err)) == RL_OK) {
        rc = SSL_write(ssl, request, (int)strlen(request)) > 0
                 ? read_answer(ssl, &answer, err)
                 : rl_fail(err, RL_E_UNAVAILABLE, "the proxy closed the connection");
    }
    if (rc == RL_OK)
        rc = tsh_webping_read(rl_buf_text(&answer), pin, err);
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
    rl_tls_client_unref(&tls);
    rl_buf_fini(&answer);
    free(request);
    free(host);
    return rc;
}

rl_code tsh_webping_pin(const char *proxy, char **pin, struct rl_error *err)
{
    return get(proxy, false, pin, err);
}

rl_code tsh_webping_unverified_pin(const char *proxy, char **pin, struct rl_error *err)
{
    return get(proxy, true, pin, err);
}
