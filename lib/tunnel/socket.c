/* Interest in the descriptor is left standing after it was served and withdrawn only when it comes
 * up again unused: a dialogue then costs no system call beyond its reads and writes. A watch whose
 * peer has hung up while nobody wants anything is stopped, or it would be told in every turn.
 */
#include "tunnel/socket.h"

#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct rl_socket {
    struct rl_loop *loop;
    struct rl_watch *watch; /* NULL: the peer hung up and nothing is wanted */
    SSL *ssl;
    int fd;
    rl_socket_ready_fn fn;
    void *context;
    unsigned interest;                /* as the watch has it */
    bool read_waits, write_waits;     /* refused with RL_SOCKET_WAIT, not yet told */
    unsigned read_needs, write_needs; /* the event that each waits for: TLS may cross them */
    bool is_drained; /* the last read took all there was; the next is an event's business */
    bool finish_waits, is_finished;
    struct rl_task *turn_end; /* NULL: it does not gather */
    bool flush_waits;         /* gathered bytes are left: the peer is to take others first */
    bool is_broken;           /* they found no way out */
};

static void on_event(void *context, int fd, unsigned events);

static unsigned needed(const struct rl_socket *s)
{
    return (s->read_waits ? s->read_needs : 0) | (s->write_waits ? s->write_needs : 0) |
           (s->finish_waits || s->flush_waits ? (unsigned)RL_LOOP_WRITE : 0);
}

static void want(struct rl_socket *s)
{
    unsigned events = needed(s);
    if (!s->watch) {
        if (!events ||
            rl_watch_start(s->loop, s->fd, events, on_event, s, &s->watch, NULL) != RL_OK)
            return;
    }
    if ((events & s->interest) == events)
        return; /* more than is needed stands already: see on_event */
    s->interest |= events;
    rl_watch_change(s->watch, s->interest);
}

/* Sends what was gathered. */
static void flush(struct rl_socket *s)
{
    enum rl_tls_progress progress = rl_tls_flush(s->ssl);
    s->is_broken = progress == RL_TLS_FAILED;
    s->flush_waits = progress == RL_TLS_WANT_WRITE;
    if (s->flush_waits)
        want(s);
}

static void on_turn_end(void *context)
{
    struct rl_socket *s = context;
    flush(s);
    if (s->is_broken && s->fn)
        s->fn(s->context, false, true); /* who writes finds it */
}

static void finish_tls(struct rl_socket *s)
{
    ERR_clear_error();
    int r = SSL_shutdown(s->ssl);
    s->finish_waits = r < 0 && SSL_get_error(s->ssl, r) == SSL_ERROR_WANT_WRITE;
    if (s->finish_waits)
        want(s);
    else if (s->turn_end)
        flush(s);
}

/* Whether something may be written again. */
static bool is_writable(struct rl_socket *s, unsigned events)
{
    bool waited = s->flush_waits;
    if (waited && events & RL_LOOP_WRITE)
        flush(s);
    if (s->finish_waits && events & RL_LOOP_WRITE)
        finish_tls(s);
    if (s->flush_waits)
        return false;
    return waited || (s->write_waits && events & s->write_needs);
}

static void on_event(void *context, int fd, unsigned events)
{
    (void)fd;
    struct rl_socket *s = context;
    unsigned used = needed(s);
    if (events & RL_LOOP_HANGUP && !used) {
        rl_watch_stop(&s->watch);
        s->interest = 0;
        return;
    }
    if (s->interest & ~used) {
        s->interest = used;
        rl_watch_change(s->watch, used);
    }
    bool writable = is_writable(s, events);
    bool readable = s->read_waits && events & s->read_needs;
    s->read_waits = s->read_waits && !readable;
    s->write_waits = s->write_waits && !writable;
    s->is_drained = s->is_drained && !readable;
    if ((readable || writable) && s->fn)
        s->fn(s->context, readable, writable);
}

rl_code rl_socket_create(struct rl_loop *loop, int fd, SSL *ssl, rl_socket_ready_fn fn,
                         void *context, struct rl_socket **out, struct rl_error *err)
{
    struct rl_socket *s = rl_alloc(sizeof *s);
    *s = (struct rl_socket){.loop = loop, .ssl = ssl, .fd = fd, .fn = fn, .context = context};
    rl_code rc = rl_watch_start(loop, fd, 0, on_event, s, &s->watch, err);
    if (rc != RL_OK) {
        free(s);
        return rc;
    }
    if (ssl) {
        SSL_set_read_ahead(ssl, 1); /* a record by one system call instead of two */
        SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    }
    *out = s;
    return RL_OK;
}

void rl_socket_gather(struct rl_socket *socket)
{
    if (!socket->ssl || socket->turn_end)
        return;
    rl_tls_gather(socket->ssl);
    socket->turn_end = rl_task_create(socket->loop, on_turn_end, socket);
}

bool rl_socket_has_unsent(const struct rl_socket *socket)
{
    return socket->turn_end && !socket->is_broken && rl_tls_has_unsent(socket->ssl);
}

void rl_socket_set_ready(struct rl_socket *socket, rl_socket_ready_fn fn, void *context)
{
    socket->fn = fn;
    socket->context = context;
}

bool rl_socket_is_plain(const struct rl_socket *socket)
{
    return !socket->ssl;
}

int rl_socket_fd(const struct rl_socket *socket)
{
    return socket->fd;
}

static ssize_t read_waits(struct rl_socket *s, unsigned needs)
{
    s->read_waits = true;
    s->read_needs = needs;
    want(s);
    return RL_SOCKET_WAIT;
}

static ssize_t write_waits(struct rl_socket *s, unsigned needs)
{
    s->write_waits = true;
    s->write_needs = needs;
    want(s);
    return RL_SOCKET_WAIT;
}

static ssize_t read_tls(struct rl_socket *s, uint8_t *to, size_t room)
{
    if (s->read_waits)
        return RL_SOCKET_WAIT; /* asked again in the same turn */
    ERR_clear_error();
    size_t n = 0;
    int r = SSL_read_ex(s->ssl, to, room, &n);
    if (r > 0)
        return (ssize_t)n;
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return read_waits(s, RL_LOOP_READ);
    case SSL_ERROR_WANT_WRITE:
        return read_waits(s, RL_LOOP_WRITE);
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default: /* an end without close_notify among them: someone may have cut it off */
        return RL_SOCKET_BROKEN;
    }
}

ssize_t rl_socket_readv(struct rl_socket *s, const struct iovec *places, int count)
{
    RL_ASSERT(!s->ssl && count > 0);
    if (s->is_drained) {
        s->is_drained = false;
        return read_waits(s, RL_LOOP_READ);
    }
    ssize_t n;
    do
        n = readv(s->fd, places, count);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? read_waits(s, RL_LOOP_READ) : RL_SOCKET_BROKEN;
    size_t room = 0;
    for (int i = 0; i < count; i++)
        room += places[i].iov_len;
    s->is_drained = n > 0 && (size_t)n < room;
    return n;
}

ssize_t rl_socket_read(struct rl_socket *socket, uint8_t *to, size_t room)
{
    RL_ASSERT(room > 0);
    struct iovec place = {to, room};
    return socket->ssl ? read_tls(socket, to, room) : rl_socket_readv(socket, &place, 1);
}

static ssize_t write_tls(struct rl_socket *s, const uint8_t *from, size_t n)
{
    if (s->is_broken)
        return RL_SOCKET_BROKEN;
    if (s->flush_waits)
        return write_waits(s, RL_LOOP_WRITE);
    ERR_clear_error();
    size_t written = 0;
    int r = SSL_write_ex(s->ssl, from, n, &written);
    if (r > 0) {
        if (s->turn_end)
            rl_task_schedule(s->turn_end);
        return (ssize_t)written;
    }
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return write_waits(s, RL_LOOP_READ);
    case SSL_ERROR_WANT_WRITE:
        return write_waits(s, RL_LOOP_WRITE);
    default:
        return RL_SOCKET_BROKEN;
    }
}

ssize_t rl_socket_writev(struct rl_socket *s, struct iovec *places, size_t count)
{
    RL_ASSERT(!s->ssl && count > 0 && !s->is_finished);
    struct msghdr message = {.msg_iov = places, .msg_iovlen = count};
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += places[i].iov_len;
    ssize_t written;
    do
        written = sendmsg(s->fd, &message, MSG_NOSIGNAL);
    while (written < 0 && errno == EINTR);
    if (written < 0)
        return errno == EAGAIN ? write_waits(s, RL_LOOP_WRITE) : RL_SOCKET_BROKEN;
    if ((size_t)written < n)
        write_waits(s, RL_LOOP_WRITE);
    return written;
}

bool rl_socket_is_full(const struct rl_socket *socket)
{
    return socket->write_waits;
}

ssize_t rl_socket_write(struct rl_socket *socket, const uint8_t *from, size_t n)
{
    RL_ASSERT(n > 0 && !socket->is_finished);
    struct iovec place = {(void *)(uintptr_t)from, n};
    return socket->ssl ? write_tls(socket, from, n) : rl_socket_writev(socket, &place, 1);
}

ssize_t rl_socket_read_into_pipe(struct rl_socket *socket, int pipe, size_t room)
{
    RL_ASSERT(room > 0 && !socket->ssl);
    if (socket->is_drained) {
        socket->is_drained = false;
        return read_waits(socket, RL_LOOP_READ);
    }
    ssize_t n;
    do
        n = splice(socket->fd, NULL, pipe, NULL, room, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? read_waits(socket, RL_LOOP_READ) : RL_SOCKET_BROKEN;
    socket->is_drained = n > 0 && (size_t)n < room;
    return n;
}

ssize_t rl_socket_write_from_pipe(struct rl_socket *socket, int pipe, size_t n)
{
    RL_ASSERT(n > 0 && !socket->ssl && !socket->is_finished);
    ssize_t written;
    do
        written = splice(pipe, NULL, socket->fd, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (written < 0 && errno == EINTR);
    if (written > 0)
        return written;
    return written < 0 && errno == EAGAIN ? write_waits(socket, RL_LOOP_WRITE) : RL_SOCKET_BROKEN;
}

void rl_socket_finish(struct rl_socket *socket)
{
    if (socket->is_finished)
        return;
    socket->is_finished = true;
    if (socket->ssl)
        finish_tls(socket);
    else
        shutdown(socket->fd, SHUT_WR);
}

void rl_socket_close(struct rl_socket **socket)
{
    if (!socket || !*socket)
        return;
    struct rl_socket *s = *socket;
    *socket = NULL;
    rl_watch_stop(&s->watch);
    rl_task_free(&s->turn_end);
    if (s->ssl && !s->is_finished) {
        ERR_clear_error();
        SSL_shutdown(s->ssl); /* sends what was gathered too */
    }
    SSL_free(s->ssl);
    close(s->fd);
    free(s);
}

void rl_socket_abort(struct rl_socket **socket)
{
    if (!socket || !*socket)
        return;
    struct rl_socket *s = *socket;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* close() sends a TCP reset */
    s->is_finished = true;                                      /* and no close_notify */
    rl_socket_close(socket);
}
