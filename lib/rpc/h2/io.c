/* io: bytes between the socket, OpenSSL and nghttp2. Output goes from nghttp2's own buffer straight
 * into SSL_write(); small frames are gathered into one record first, and records into one system
 * call. What the socket does not take stays where it is, and nghttp2 is not asked for more: that is
 * the back-pressure.
 */
#include "rpc/h2/h2.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In one turn, so that a fast connection does not starve the others of its loop. */
#define READS_MAX 16
#define FLUSH_BYTES_MAX (1u << 20)
#define BATCH_BYTES_MAX ((size_t)RL_TLS_GATHER_RECORDS * RL_TLS_RECORD_BYTES)

enum io_result { IO_OK, IO_BLOCKED, IO_OVER };

static void set_events(struct rl_h2_connection *c)
{
    bool is_blocked = c->lent_n > 0 || c->kept != NULL || rl_tls_has_unsent(c->ssl);
    rl_watch_change(c->watch, is_blocked || c->read_wants_write ? RL_LOOP_READ | RL_LOOP_WRITE
                                                                : RL_LOOP_READ);
}

static void close_broken(struct rl_h2_connection *c)
{
    struct rl_error err;
    rl_code code = rl_tls_explain(c->ssl, 0, &err);
    c->is_tls_broken = true;
    rl_h2_connection_close(c, code, err.message);
}

/* ---- out ---- */

static enum io_result write_some(struct rl_h2_connection *c, const uint8_t **p, size_t *n)
{
    while (*n > 0) {
        ERR_clear_error();
        errno = 0;
        size_t done = 0;
        if (SSL_write_ex(c->ssl, *p, *n, &done) == 1) {
            *p += done;
            *n -= done;
            continue;
        }
        int why = SSL_get_error(c->ssl, 0);
        if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ)
            return IO_BLOCKED;
        close_broken(c);
        return IO_OVER;
    }
    return IO_OK;
}

static enum io_result write_leftovers(struct rl_h2_connection *c)
{
    if (c->kept) {
        const uint8_t *p = c->kept + c->kept_done;
        size_t n = c->kept_n - c->kept_done;
        enum io_result result = write_some(c, &p, &n);
        if (result == IO_OVER)
            return result;
        c->kept_done = c->kept_n - n;
        if (result == IO_BLOCKED)
            return result;
        free(c->kept);
        c->kept = NULL;
    }
    return write_some(c, &c->lent, &c->lent_n);
}

/* Gathers small frames; `*big` is one that is better written from where it is, or did not fit. */
static ssize_t gather(struct rl_h2_connection *c, uint8_t *record, struct rl_span *big)
{
    size_t n = 0;
    *big = (struct rl_span){NULL, 0};
    for (;;) {
        const uint8_t *frame;
        ssize_t length = nghttp2_session_mem_send(c->session, &frame);
        if (c->is_closed)
            return -1;
        if (length < 0)
            return length;
        if (length == 0)
            return (ssize_t)n;
        if ((size_t)length > RL_TLS_RECORD_BYTES / 2 || n + (size_t)length > RL_TLS_RECORD_BYTES) {
            *big = RL_SPAN(frame, (size_t)length);
            return (ssize_t)n;
        }
        memcpy(record + n, frame, (size_t)length);
        n += (size_t)length;
    }
}

static enum io_result write_gathered(struct rl_h2_connection *c, const uint8_t *record, size_t n)
{
    const uint8_t *p = record;
    enum io_result result = write_some(c, &p, &n);
    if (result != IO_BLOCKED)
        return result;
    c->kept = rl_alloc(n);
    memcpy(c->kept, p, n);
    c->kept_done = 0;
    c->kept_n = n;
    return IO_BLOCKED;
}

/* About `most` bytes from nghttp2 into records; `is_empty`: it has no more. */
static enum io_result fill(struct rl_h2_connection *c, size_t most, bool *is_empty)
{
    enum io_result result = write_leftovers(c);
    uint8_t record[RL_TLS_RECORD_BYTES];
    for (size_t total = 0; result == IO_OK && total < most;) {
        struct rl_span big;
        ssize_t n = gather(c, record, &big);
        if (n < 0) {
            rl_h2_connection_close(c, RL_E_INTERNAL, nghttp2_strerror((int)n));
            return IO_OVER;
        }
        *is_empty = n == 0 && big.n == 0;
        if (*is_empty)
            return IO_OK;
        total += (size_t)n + big.n;
        c->lent = big.p;
        c->lent_n = big.n;
        result = write_gathered(c, record, (size_t)n);
        if (result == IO_OK)
            result = write_some(c, &c->lent, &c->lent_n);
    }
    return result;
}

static enum io_result send_records(struct rl_h2_connection *c)
{
    errno = 0;
    enum rl_tls_progress progress = rl_tls_flush(c->ssl);
    if (progress != RL_TLS_FAILED)
        return progress == RL_TLS_DONE ? IO_OK : IO_BLOCKED;
    close_broken(c);
    return IO_OVER;
}

/* Large where the socket takes it, small where it is often full: what was taken from nghttp2 and is
 * not sent yet is what the next keystroke waits behind. */
static void size_batch(struct rl_h2_connection *c, bool is_blocked)
{
    size_t size = is_blocked ? c->batch_bytes / 2 : c->batch_bytes * 2;
    if (size < RL_TLS_RECORD_BYTES)
        size = RL_TLS_RECORD_BYTES;
    if (size > BATCH_BYTES_MAX)
        size = BATCH_BYTES_MAX;
    c->batch_bytes = size;
}

/* While the socket is full nothing is taken from nghttp2. */
static enum io_result flush(struct rl_h2_connection *c)
{
    bool is_empty = false;
    enum io_result result = send_records(c);
    for (size_t total = 0; result == IO_OK && !is_empty && total < FLUSH_BYTES_MAX;) {
        total += c->batch_bytes;
        result = fill(c, c->batch_bytes, &is_empty);
        if (result == IO_OVER)
            return result;
        enum io_result sent = send_records(c);
        result = sent == IO_OK ? result : sent;
        size_batch(c, result == IO_BLOCKED);
    }
    if (result == IO_OK && !is_empty)
        rl_h2_connection_wake(c); /* there may be more */
    return result;
}

/* ---- in ---- */

static enum io_result read_once(struct rl_h2_connection *c)
{
    uint8_t record[RL_TLS_RECORD_BYTES];
    size_t n = 0;
    ERR_clear_error();
    errno = 0;
    if (SSL_read_ex(c->ssl, record, sizeof record, &n) != 1) {
        int why = SSL_get_error(c->ssl, 0);
        c->read_wants_write = why == SSL_ERROR_WANT_WRITE;
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return IO_BLOCKED;
        close_broken(c);
        return IO_OVER;
    }
    rl_h2_keepalive_heard(c);
    ssize_t taken = nghttp2_session_mem_recv(c->session, record, n);
    if (c->is_closed)
        return IO_OVER;
    if (taken < 0) {
        rl_h2_connection_close(c, RL_E_UNAVAILABLE, nghttp2_strerror((int)taken));
        return IO_OVER;
    }
    rl_h2_connection_wake(c);
    return IO_OK;
}

static enum io_result read_all(struct rl_h2_connection *c)
{
    c->must_read_on = false;
    for (int i = 0; i < READS_MAX; i++) {
        enum io_result result = read_once(c);
        if (result != IO_OK)
            return result;
    }
    /* What OpenSSL holds already wakes no epoll. */
    c->must_read_on = SSL_has_pending(c->ssl);
    return IO_OK;
}

/* ---- when ---- */

static void on_ready(void *context, int fd, unsigned events)
{
    (void)fd;
    struct rl_h2_connection *c = context;
    rl_h2_connection_enter(c);
    if (c->session && (events & (RL_LOOP_READ | RL_LOOP_HANGUP) || c->read_wants_write))
        read_all(c);
    if (rl_h2_connection_exit(c))
        rl_h2_connection_wake(c);
}

static bool is_over(struct rl_h2_connection *c)
{
    if (c->is_finishing)
        return true;
    /* After the first GOAWAY nghttp2 wants nothing more, but new calls may still be on their way.
     */
    if (c->is_leaving && !c->is_leaving_for_good)
        return false;
    return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session) &&
           !rl_tls_has_unsent(c->ssl);
}

static void on_turn(void *context)
{
    struct rl_h2_connection *c = context;
    rl_h2_connection_enter(c);
    if (!c->session) {
        rl_h2_connection_advance(c);
    } else {
        enum io_result result = c->must_read_on ? read_all(c) : IO_OK;
        if (result != IO_OVER)
            result = flush(c);
        if (result != IO_OVER && is_over(c))
            rl_h2_connection_close(c, RL_E_UNAVAILABLE,
                                   c->leave_reason ? c->leave_reason : "the connection was ended");
    }
    if (!rl_h2_connection_exit(c))
        return;
    if (c->must_read_on)
        rl_h2_connection_wake(c);
    set_events(c);
}

static void set_socket_options(int fd)
{
    int one = 1, lowat = RL_H2_NOTSENT_LOWAT_BYTES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Else a keystroke waits behind megabytes in the kernel's queue. */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
}

rl_code rl_h2_io_start(struct rl_h2_connection *c, struct rl_error *err)
{
    set_socket_options(c->fd);
    c->batch_bytes = RL_TLS_RECORD_BYTES;
    /* A record by one system call instead of two. */
    SSL_set_read_ahead(c->ssl, 1);
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
    rl_code rc = rl_watch_start(c->config->loop, c->fd, RL_LOOP_READ, on_ready, c, &c->watch, err);
    if (rc != RL_OK)
        return rc;
    c->turn = rl_task_create(c->config->loop, on_turn, c);
    rl_task_schedule(c->turn);
    return RL_OK;
}

void rl_h2_io_stop(struct rl_h2_connection *c)
{
    rl_watch_stop(&c->watch);
    rl_task_free(&c->turn);
    /* A close_notify, so that the other side need not think of an attack. */
    if (c->session && !c->is_tls_broken && !c->kept && !c->lent_n)
        SSL_shutdown(c->ssl);
    ERR_clear_error();
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}
