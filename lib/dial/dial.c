/* dial: one race per dial. The addresses start one after another, 250 ms apart or as soon as one
 * has failed; the first that connects wins and the others are closed (RFC 8305, 5).
 */
#include "dial/dial.h"

#include "bytes/buf.h"
#include "dial/http_connect.h"
#include "dial/resolve.h"
#include "names/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NEXT_ADDRESS_MS 250

struct attempt {
    struct rl_dial *dial;
    int fd; /* -1: not started, or it failed */
    struct rl_watch *watch;
    struct rl_endpoint endpoint;
};

struct rl_dial {
    struct rl_loop *loop;
    rl_dial_fn fn;
    void *context;
    struct rl_dial **handle; /* the caller's: NULLed before the callback; may be NULL */
    char *address, *shown;   /* with the proxy's, where there is one */
    uint32_t timeout_ms;
    const struct rl_http_proxy *proxy; /* NULL: straight */
    struct rl_http_connect *connect;
    int connected_fd; /* while the proxy is asked */
    struct rl_resolve *resolve;
    struct rl_timer *deadline, *next;
    struct attempt attempts[RL_RESOLVE_ADDRESSES_MAX];
    size_t count, started, running;
    char said[RL_ERROR_MESSAGE_BYTES]; /* which address said what */
};

static void free_dial(struct rl_dial *dial)
{
    for (size_t i = 0; i < dial->started; i++) {
        rl_watch_stop(&dial->attempts[i].watch);
        if (dial->attempts[i].fd >= 0)
            close(dial->attempts[i].fd);
    }
    rl_http_connect_stop(&dial->connect);
    if (dial->connected_fd >= 0)
        close(dial->connected_fd);
    rl_resolve_stop(&dial->resolve);
    rl_timer_free(&dial->deadline);
    rl_timer_free(&dial->next);
    if (dial->handle)
        *dial->handle = NULL;
    free(dial->address);
    free(dial->shown);
    free(dial);
}

/* The last thing that happens: the callback may start another dial into the same handle. */
static void finish(struct rl_dial *dial, int fd, rl_code code, const char *message)
{
    rl_dial_fn fn = dial->fn;
    void *context = dial->context;
    free_dial(dial);
    fn(context, fd, code, message);
}

static void fail(struct rl_dial *dial, rl_code code, const char *what)
{
    struct rl_error error;
    const char *said = dial->said;
    rl_fail(&error, code, "connecting to %s: %s%s%s", dial->shown, what, *what && *said ? "; " : "",
            said);
    finish(dial, -1, code, error.message);
}

/* What does not fit any more is cut: the first addresses tell enough. */
static void note_failure(struct attempt *attempt, int number)
{
    struct rl_dial *dial = attempt->dial;
    char endpoint[RL_RESOLVE_TEXT_BYTES];
    rl_endpoint_format(&attempt->endpoint, endpoint);
    size_t n = strlen(dial->said);
    snprintf(dial->said + n, sizeof dial->said - n, "%s%s: %s", n ? "; " : "", endpoint,
             strerror(number));
}

/* The next address now, or the end if there is none. */
static void lose(struct attempt *attempt, int number)
{
    struct rl_dial *dial = attempt->dial;
    note_failure(attempt, number);
    rl_watch_stop(&attempt->watch);
    if (attempt->fd >= 0)
        close(attempt->fd);
    attempt->fd = -1;
    dial->running--;
    rl_timer_arm(dial->next, 0);
}

static void on_proxy_answered(void *context, rl_code code, const char *message)
{
    struct rl_dial *dial = context;
    if (code != RL_OK) {
        fail(dial, code, message);
        return;
    }
    int fd = dial->connected_fd;
    dial->connected_fd = -1;
    finish(dial, fd, RL_OK, "");
}

/* The other addresses of the proxy are not needed any more. */
static void ask_proxy(struct rl_dial *dial, int fd)
{
    for (size_t i = 0; i < dial->started; i++) {
        rl_watch_stop(&dial->attempts[i].watch);
        if (dial->attempts[i].fd >= 0)
            close(dial->attempts[i].fd);
        dial->attempts[i].fd = -1;
    }
    rl_timer_disarm(dial->next);
    dial->connected_fd = fd;
    dial->connect =
        rl_http_connect_start(dial->loop, fd, dial->address, dial->proxy, on_proxy_answered, dial);
}

static void on_connected(void *context, int fd, unsigned events)
{
    struct attempt *attempt = context;
    struct rl_dial *dial = attempt->dial;
    int number = 0;
    socklen_t n = sizeof number;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &n) < 0)
        number = errno;
    if (number == 0 && !(events & RL_LOOP_WRITE))
        number = ECONNRESET;
    if (number != 0) {
        lose(attempt, number);
        return;
    }
    rl_watch_stop(&attempt->watch);
    attempt->fd = -1;
    if (dial->proxy)
        ask_proxy(dial, fd);
    else
        finish(dial, fd, RL_OK, "");
}

/* 0, or the errno of what refused. */
static int try_connect(struct attempt *attempt)
{
    const struct sockaddr *to = (const struct sockaddr *)&attempt->endpoint.address;
    attempt->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0)
        return errno;
    int on = 1;
    setsockopt(attempt->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(attempt->fd, to, attempt->endpoint.bytes) < 0 && errno != EINPROGRESS)
        return errno;
    if (rl_watch_start(attempt->dial->loop, attempt->fd, RL_LOOP_WRITE, on_connected, attempt,
                       &attempt->watch, NULL) != RL_OK)
        return ENFILE;
    return 0;
}

static void on_next(void *context)
{
    struct rl_dial *dial = context;
    if (dial->started == dial->count) {
        if (dial->running == 0)
            fail(dial, RL_E_UNAVAILABLE, "");
        return;
    }
    struct attempt *attempt = &dial->attempts[dial->started++];
    dial->running++;
    rl_timer_arm(dial->next, NEXT_ADDRESS_MS);
    int number = try_connect(attempt);
    if (number != 0)
        lose(attempt, number);
}

static void on_resolved(void *context, const struct rl_endpoint *endpoints, size_t count,
                        const char *message)
{
    struct rl_dial *dial = context;
    if (count == 0) {
        fail(dial, RL_E_UNAVAILABLE, message);
        return;
    }
    for (size_t i = 0; i < count; i++)
        dial->attempts[i] = (struct attempt){.dial = dial, .fd = -1, .endpoint = endpoints[i]};
    dial->count = count;
    rl_resolve_stop(&dial->resolve);
    on_next(dial);
}

static void on_deadline(void *context)
{
    struct rl_dial *dial = context;
    char what[64];
    snprintf(what, sizeof what, "%s within %u ms",
             dial->count ? "no answer" : "no answer from a name server", dial->timeout_ms);
    fail(dial, RL_E_DEADLINE, what);
}

rl_code rl_dial_start(struct rl_loop *loop, const char *address, uint32_t timeout_ms, rl_dial_fn fn,
                      void *context, struct rl_dial **out, struct rl_error *err)
{
    const struct rl_dial_how straight = {0};
    return rl_dial_start_by(loop, address, &straight, timeout_ms, fn, context, out, err);
}

/* Whose addresses are dialled: the target's, or the proxy's. */
static rl_code choose_way(struct rl_dial *dial, const char *address,
                          const struct rl_http_proxy *proxy, char **host, uint16_t *port,
                          struct rl_error *err)
{
    rl_code rc = rl_address_split(address, host, port, err);
    if (rc != RL_OK)
        return rc;
    dial->address = rl_strdup(address);
    if (!rl_http_proxy_is_for(proxy, *host, *port)) {
        dial->shown = rl_strdup(address);
        return RL_OK;
    }
    free(*host);
    *host = NULL;
    dial->proxy = proxy;
    dial->shown = rl_sprintf("%s by way of %s", address, rl_http_proxy_address(proxy));
    return rl_address_split(rl_http_proxy_address(proxy), host, port, err);
}

rl_code rl_dial_start_by(struct rl_loop *loop, const char *address, const struct rl_dial_how *how,
                         uint32_t timeout_ms, rl_dial_fn fn, void *context, struct rl_dial **out,
                         struct rl_error *err)
{
    char *host = NULL;
    uint16_t port = 0;
    struct rl_dial *dial = rl_alloc(sizeof *dial);
    *dial = (struct rl_dial){
        .loop = loop, .fn = fn, .context = context, .timeout_ms = timeout_ms, .connected_fd = -1};
    dial->deadline = rl_timer_create(loop, on_deadline, dial);
    dial->next = rl_timer_create(loop, on_next, dial);
    rl_code rc = choose_way(dial, address, how->proxy, &host, &port, err);
    if (rc == RL_OK)
        rc = rl_resolve_start(loop, host, port, how->servers, on_resolved, dial, &dial->resolve,
                              err);
    free(host);
    if (rc != RL_OK) {
        free_dial(dial);
        return rc;
    }
    rl_timer_arm(dial->deadline, timeout_ms);
    dial->handle = out;
    if (out)
        *out = dial;
    return RL_OK;
}

void rl_dial_cancel(struct rl_dial **dial)
{
    if (!dial || !*dial)
        return;
    free_dial(*dial);
    *dial = NULL;
}

/* ---- waiting ---- */

struct outcome {
    bool is_known;
    int fd;
    struct rl_error error;
};

static void on_outcome(void *context, int fd, rl_code code, const char *message)
{
    struct outcome *outcome = context;
    outcome->is_known = true;
    outcome->fd = fd;
    if (code != RL_OK)
        rl_fail(&outcome->error, code, "%s", message);
}

rl_code rl_dial_blocking(const char *address, uint32_t timeout_ms, int *fd, struct rl_error *err)
{
    struct outcome outcome = {.fd = -1};
    struct rl_loop *loop;
    rl_code rc = rl_loop_create(&loop, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_dial_start(loop, address, timeout_ms, on_outcome, &outcome, NULL, err);
    while (rc == RL_OK && !outcome.is_known)
        rl_loop_turn(loop, -1);
    rl_loop_free(&loop);
    if (rc == RL_OK && outcome.fd < 0)
        rc = rl_fail(err, outcome.error.code, "%s", outcome.error.message);
    if (rc == RL_OK)
        *fd = outcome.fd;
    return rc;
}
