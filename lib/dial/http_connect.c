/* http_connect: the answer is peeked at first, so that exactly its head is taken from the socket:
 * what follows is the target's. */
#include "dial/http_connect.h"

#include "bytes/buf.h"
#include "names/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_BYTES_MAX 4096
#define HEAD_END "\r\n\r\n"
#define SHOWN_BYTES 100 /* of the proxy's status line */

struct rl_http_connect {
    int fd;
    rl_http_connect_fn fn;
    void *context;
    struct rl_watch *watch;
    struct rl_timer *begin;
    struct rl_loop *loop;
    struct rl_buf request, answer;
};

static void finish(struct rl_http_connect *connect, rl_code code, const char *message)
{
    rl_watch_stop(&connect->watch);
    connect->fn(connect->context, code, message);
}

static void fail(struct rl_http_connect *connect, const char *what, const char *detail)
{
    struct rl_error error;
    char *shown = rl_name_printable(detail);
    rl_fail(&error, RL_E_UNAVAILABLE, "the HTTP proxy %s%.*s", what, SHOWN_BYTES, shown);
    free(shown);
    finish(connect, RL_E_UNAVAILABLE, error.message);
}

/* "HTTP/1.1 200 Connection established" */
static void judge(struct rl_http_connect *connect)
{
    static const char version[] = "HTTP/1.";
    char *line = rl_strdup(rl_buf_text(&connect->answer));
    line[strcspn(line, "\r\n")] = '\0';
    const char *status = strchr(line, ' ');
    if (strncmp(line, version, strlen(version)) != 0 || !status)
        fail(connect, "does not speak HTTP", "");
    else if (status[1] == '2')
        finish(connect, RL_OK, "");
    else
        fail(connect, "refused:", status);
    free(line);
}

/* How much of what was peeked at belongs to the head; the answer with it is whole or not. */
static size_t take(struct rl_http_connect *connect, const uint8_t *bytes, size_t n, bool *is_whole)
{
    size_t before = connect->answer.n;
    if (!rl_buf_put(&connect->answer, bytes, n))
        return n;
    const char *text = rl_buf_text(&connect->answer);
    const char *end = memmem(text, connect->answer.n, HEAD_END, strlen(HEAD_END));
    *is_whole = end != NULL;
    return end ? (size_t)(end - text) + strlen(HEAD_END) - before : n;
}

static void read_answer(struct rl_http_connect *connect)
{
    uint8_t bytes[1024];
    bool is_whole = false;
    ssize_t n = recv(connect->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail(connect, "closed the connection", "");
        return;
    }
    size_t taken = take(connect, bytes, (size_t)n, &is_whole);
    if (recv(connect->fd, bytes, taken, MSG_DONTWAIT) != (ssize_t)taken)
        fail(connect, "closed the connection", "");
    else if (connect->answer.failed)
        fail(connect, "answered at too great length", "");
    else if (is_whole)
        judge(connect);
}

static void write_request(struct rl_http_connect *connect)
{
    struct rl_buf *request = &connect->request;
    ssize_t n = send(connect->fd, request->p, request->n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        fail(connect, "closed the connection", "");
        return;
    }
    rl_buf_consume(request, (size_t)n);
    if (request->n == 0)
        rl_watch_change(connect->watch, RL_LOOP_READ);
}

static void on_ready(void *context, int fd, unsigned events)
{
    (void)fd;
    (void)events;
    struct rl_http_connect *connect = context;
    if (connect->request.n)
        write_request(connect);
    else
        read_answer(connect);
}

/* From the loop: the callback never comes from inside of start. */
static void on_begin(void *context)
{
    struct rl_http_connect *connect = context;
    struct rl_error err;
    if (connect->request.failed)
        finish(connect, RL_E_UNAVAILABLE, "the request to the HTTP proxy is too long");
    else if (rl_watch_start(connect->loop, connect->fd, RL_LOOP_WRITE, on_ready, connect,
                            &connect->watch, &err) != RL_OK)
        finish(connect, RL_E_UNAVAILABLE, err.message);
}

struct rl_http_connect *rl_http_connect_start(struct rl_loop *loop, int fd, const char *target,
                                              const struct rl_http_proxy *proxy,
                                              rl_http_connect_fn fn, void *context)
{
    struct rl_http_connect *connect = rl_alloc(sizeof *connect);
    *connect = (struct rl_http_connect){.loop = loop, .fd = fd, .fn = fn, .context = context};
    rl_buf_init(&connect->request, REQUEST_BYTES_MAX);
    rl_buf_init(&connect->answer, RL_HTTP_CONNECT_ANSWER_BYTES_MAX);
    rl_buf_printf(&connect->request, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", target, target);
    const char *authorization = rl_http_proxy_authorization(proxy);
    if (authorization)
        rl_buf_printf(&connect->request, "Proxy-Authorization: %s\r\n", authorization);
    rl_buf_put_text(&connect->request, "\r\n");
    connect->begin = rl_timer_create(loop, on_begin, connect);
    rl_timer_arm(connect->begin, 0);
    return connect;
}

void rl_http_connect_stop(struct rl_http_connect **connect)
{
    if (!connect || !*connect)
        return;
    rl_watch_stop(&(*connect)->watch);
    rl_timer_free(&(*connect)->begin);
    rl_buf_fini(&(*connect)->request);
    rl_buf_fini(&(*connect)->answer);
    free(*connect);
    *connect = NULL;
}
