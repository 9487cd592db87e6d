/* socket_bio: the bytes that were taken off the socket to choose a route come first, then the
 * socket's own. Sends with MSG_NOSIGNAL: OpenSSL's socket BIO would end the process by SIGPIPE.
 *
 * Once it gathers, records wait in a buffer until it is full or somebody flushes: a system call for
 * each record costs more than the copy. The buffer is there only while it holds something. */
#include "tls/session.h"

#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct socket_bio {
    int fd;
    struct rl_buf prefix;
    size_t taken; /* of the prefix */
    bool gathers;
    bool is_drained;   /* the last read took all there was: the next is an event's business */
    uint8_t *gathered; /* records; NULL: none */
    size_t sent, gathered_n;
};

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static bool would_block(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

static int take_prefix(struct socket_bio *own, char *to, size_t n)
{
    size_t left = own->prefix.n - own->taken;
    n = n < left ? n : left;
    memcpy(to, own->prefix.p + own->taken, n);
    own->taken += n;
    if (own->taken == own->prefix.n) {
        rl_buf_fini(&own->prefix);
        own->taken = 0;
    }
    return (int)n;
}

static int read_some(BIO *bio, char *to, int n)
{
    struct socket_bio *own = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n <= 0)
        return 0;
    if (own->prefix.n)
        return take_prefix(own, to, (size_t)n);
    if (own->is_drained) {
        own->is_drained = false;
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got = recv(own->fd, to, (size_t)n, 0);
    own->is_drained = own->gathers && got > 0 && got < n;
    if (would_block(got))
        BIO_set_retry_read(bio);
    else if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

/* What waits, as far as the socket takes it. False when the connection is broken (errno). */
static bool send_gathered(struct socket_bio *own)
{
    while (own->gathered) {
        ssize_t n =
            send(own->fd, own->gathered + own->sent, own->gathered_n - own->sent, MSG_NOSIGNAL);
        if (n < 0)
            return would_block(n);
        own->sent += (size_t)n;
        if (own->sent < own->gathered_n)
            continue;
        free(own->gathered);
        own->gathered = NULL;
        own->sent = own->gathered_n = 0;
    }
    return true;
}

static int gather(struct socket_bio *own, BIO *bio, const char *from, size_t n)
{
    if (n > RL_TLS_GATHER_BYTES - own->gathered_n && !send_gathered(own))
        return -1;
    if (n > RL_TLS_GATHER_BYTES - own->gathered_n) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if (!own->gathered)
        own->gathered = malloc(RL_TLS_GATHER_BYTES); /* not zeroed: this is the data path */
    RL_ASSERT(own->gathered);
    memcpy(own->gathered + own->gathered_n, from, n);
    own->gathered_n += n;
    return (int)n;
}

static int write_some(BIO *bio, const char *from, int n)
{
    struct socket_bio *own = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (own->gathers && n >= 0 && n <= RL_TLS_GATHER_BYTES)
        return gather(own, bio, from, (size_t)n);
    ssize_t sent = send(own->fd, from, (size_t)n, MSG_NOSIGNAL);
    if (would_block(sent))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    struct socket_bio *own = BIO_get_data(bio);
    (void)number;
    switch (command) {
    case BIO_C_GET_FD:
        if (pointer)
            *(int *)pointer = own->fd;
        return own->fd;
    case BIO_CTRL_PENDING:
        return (long)(own->prefix.n - own->taken);
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    case BIO_CTRL_FLUSH: /* what the socket does not take now waits on: no reason to wait here */
        return send_gathered(own) ? 1 : -1;
    default:
        return 0;
    }
}

static int destroy(BIO *bio)
{
    struct socket_bio *own = BIO_get_data(bio);
    if (own) {
        rl_buf_fini(&own->prefix);
        free(own->gathered);
    }
    free(own);
    BIO_set_data(bio, NULL);
    return 1;
}

static void make_method(void)
{
    int type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR;
    method = BIO_meth_new(type, "socket with a prefix");
    RL_ASSERT(method);
    BIO_meth_set_read(method, read_some);
    BIO_meth_set_write(method, write_some);
    BIO_meth_set_ctrl(method, control);
    BIO_meth_set_destroy(method, destroy);
}

BIO *rl_tls_socket_bio(int fd, struct rl_span prefix)
{
    pthread_once(&method_once, make_method);
    BIO *bio = BIO_new(method);
    if (!bio)
        return NULL;
    struct socket_bio *own = rl_alloc(sizeof *own);
    own->fd = fd;
    rl_buf_init(&own->prefix, prefix.n);
    BIO_set_data(bio, own);
    BIO_set_init(bio, 1);
    if (rl_buf_put_span(&own->prefix, prefix))
        return bio;
    BIO_free(bio);
    return NULL;
}

void rl_tls_gather(SSL *ssl)
{
    struct socket_bio *own = BIO_get_data(SSL_get_wbio(ssl));
    own->gathers = true;
    SSL_set_read_ahead(ssl, 1);
    SSL_set_default_read_buffer_len(ssl, RL_TLS_GATHER_BYTES);
}

enum rl_tls_progress rl_tls_flush(SSL *ssl)
{
    struct socket_bio *own = BIO_get_data(SSL_get_wbio(ssl));
    if (!send_gathered(own))
        return RL_TLS_FAILED;
    return own->gathered ? RL_TLS_WANT_WRITE : RL_TLS_DONE;
}

bool rl_tls_has_unsent(const SSL *ssl)
{
    const struct socket_bio *own = BIO_get_data(SSL_get_wbio(ssl));
    return own->gathered != NULL;
}
