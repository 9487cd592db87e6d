/* arrival: a socket that came through the proxy, until its PROXY v2 header and the ClientHello that
 * the header is signed for are whole. Nothing of what it says is believed before the signature was
 * checked.
 */
#include "rpc/h2/h2.h"

#include "tls/hello.h"
#include "tls/proxy_protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define EARLY_BYTES_MAX (RL_PROXY_HEADER_BYTES_MAX + 2 * RL_HELLO_BYTES_MAX)

void rl_h2_arrival_free(struct rl_h2_arrival *arrival)
{
    rl_h2_server_remove_arrival(arrival->listener->server, arrival);
    rl_watch_stop(&arrival->watch);
    rl_timer_free(&arrival->deadline);
    if (arrival->fd >= 0)
        close(arrival->fd);
    rl_buf_fini(&arrival->early);
    free(arrival);
}

static void greet(struct rl_h2_arrival *arrival, const struct rl_proxy_header *header,
                  const char *via)
{
    struct sockaddr_storage source = header->source;
    if (header->is_local) {
        socklen_t length = sizeof source;
        if (getpeername(arrival->fd, (struct sockaddr *)&source, &length) != 0) {
            rl_h2_arrival_free(arrival);
            return;
        }
    }
    char *address = rl_h2_address_text(&source);
    int fd = arrival->fd;
    struct rl_h2_listener *listener = arrival->listener;
    struct rl_buf early = arrival->early;
    rl_watch_stop(&arrival->watch);
    arrival->fd = -1;
    rl_buf_init(&arrival->early, 0);
    rl_h2_arrival_free(arrival);
    rl_h2_server_greet(listener, fd, RL_SPAN(early.p + header->bytes, early.n - header->bytes),
                       address, via);
    free(address);
    rl_buf_fini(&early);
}

/* False: more bytes are needed, or it was dropped. */
static void examine(struct rl_h2_arrival *arrival)
{
    struct rl_span bytes = rl_buf_span(&arrival->early);
    struct rl_proxy_header header;
    struct rl_client_hello hello;
    enum rl_proxy_result result = rl_proxy_header_parse(bytes, &header, NULL);
    if (result == RL_PROXY_MORE)
        return;
    if (result == RL_PROXY_BAD) {
        rl_h2_arrival_free(arrival);
        return;
    }
    enum rl_hello_result hello_result = rl_client_hello_parse(
        RL_SPAN(bytes.p + header.bytes, bytes.n - header.bytes), &hello, NULL);
    if (hello_result == RL_HELLO_MORE)
        return;
    struct rl_h2_listener *listener = arrival->listener;
    struct rl_identity *proxy = NULL;
    if (hello_result == RL_HELLO_BAD ||
        rl_proxy_header_verify(&header, listener->proxied_by, hello.random,
                               rl_h2_server_now_s(listener->server), &listener->signers, &proxy,
                               NULL) != RL_OK) {
        rl_h2_arrival_free(arrival);
        return;
    }
    greet(arrival, &header, proxy->name);
    rl_identity_unref(&proxy);
}

static void on_ready(void *context, int fd, unsigned events)
{
    (void)events;
    struct rl_h2_arrival *arrival = context;
    uint8_t bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !rl_buf_put(&arrival->early, bytes, (size_t)n)) {
        rl_h2_arrival_free(arrival);
        return;
    }
    examine(arrival);
}

static void on_deadline(void *context)
{
    rl_h2_arrival_free(context);
}

void rl_h2_arrive(struct rl_h2_listener *listener, int fd)
{
    if (!listener->proxied_by) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0) {
            close(fd);
            return;
        }
        char *address = rl_h2_address_text(&peer);
        rl_h2_server_greet(listener, fd, (struct rl_span){NULL, 0}, address, NULL);
        free(address);
        return;
    }
    struct rl_h2_arrival *arrival = rl_alloc(sizeof *arrival);
    struct rl_loop *loop = rl_h2_server_loop(listener->server);
    arrival->listener = listener;
    arrival->fd = fd;
    arrival->came_ms = rl_loop_now_ms(loop);
    rl_buf_init(&arrival->early, EARLY_BYTES_MAX);
    rl_h2_server_add_arrival(listener->server, arrival);
    if (rl_watch_start(loop, fd, RL_LOOP_READ, on_ready, arrival, &arrival->watch, NULL) != RL_OK) {
        rl_h2_arrival_free(arrival);
        return;
    }
    arrival->deadline = rl_timer_create(loop, on_deadline, arrival);
    rl_timer_arm(arrival->deadline, RL_RPC_HANDSHAKE_MS);
}
