/* passthrough: TLS that ends at auth, audit or a broker. The proxy reads its ClientHello, vouches
 * for the client's address in a signed PROXY v2 header, and is a pipe from there on. A replica that
 * does not answer is not the client's concern: the next one is tried.
 */
#include "internal.h"

#include "bytes/secret.h"
#include "dial/dial.h"
#include "tls/proxy_protocol.h"

#include <stdlib.h>
#include <unistd.h>

#define TRIES_MAX 4  /* replicas, for one connection */
#define TRY_MS 2000  /* for each but the last, which has PROXY_UPSTREAM_MS */
#define IDLE_MS 1000 /* without a byte: nobody waits for an answer */
/* While no broker answers: one that restarts takes a second. Its agents wait here, each with the
 * one connection that it made, where they would come again and again and keep it from starting. */
#define WAIT_MS 2000
#define AGAIN_MS 50 /* to twice that; spread */

struct passage {
    struct proxy *proxy;
    struct passage *next, *previous;
    struct arrival arrival;
    char *addresses[TRIES_MAX];
    size_t address_count, address_next;
    uint64_t bytes_seen, seen_ms; /* passthrough_close_idle() */
    struct rl_buf first;          /* header and ClientHello, until they are written */
    struct rl_dial *dial;
    uint64_t waits_until_ms; /* 0: it does not */
    struct rl_timer *again;
    struct rl_socket *upstream;
    struct rl_splice *splice;
};

static void stop_waiting(struct passage *p)
{
    if (p->waits_until_ms)
        p->proxy->waiting--;
    p->waits_until_ms = 0;
    rl_timer_free(&p->again);
}

static void forget(struct passage *p)
{
    struct proxy *proxy = p->proxy;
    stop_waiting(p);
    if (p->previous)
        p->previous->next = p->next;
    else
        proxy->passages = p->next;
    if (p->next)
        p->next->previous = p->previous;
    for (size_t i = 0; i < p->address_count; i++)
        free(p->addresses[i]);
    rl_buf_fini(&p->first);
    free(p);
    proxy_count(proxy, -1);
}

static void give_up(struct passage *p, const char *why)
{
    rl_log_warn("connection not passed through", RL_TEXT("client", p->arrival.address),
                RL_TEXT("sni", p->arrival.hello.sni), RL_TEXT("error", why));
    rl_metric_add(p->proxy->refused_total, 1);
    rl_dial_cancel(&p->dial);
    rl_socket_abort(&p->upstream);
    close(p->arrival.fd);
    forget(p);
}

static void on_spliced(void *context, const uint64_t bytes[2])
{
    struct passage *p = context;
    rl_metric_add(p->proxy->passed_bytes, (int64_t)(bytes[0] + bytes[1]));
    forget(p);
}

static void begin_splice(struct passage *p)
{
    struct rl_socket *client = NULL;
    struct rl_error err;
    rl_buf_fini(&p->first);
    if (rl_socket_create(p->proxy->config.loop, p->arrival.fd, NULL, NULL, NULL, &client, &err) !=
        RL_OK) {
        give_up(p, err.message);
        return;
    }
    struct rl_socket *upstream = p->upstream;
    p->upstream = NULL;
    p->splice =
        rl_splice_start(p->proxy->config.loop, &p->proxy->pipes, client, upstream, on_spliced, p);
}

static void write_first(struct passage *p)
{
    while (p->first.n) {
        ssize_t n = rl_socket_write(p->upstream, p->first.p, p->first.n);
        if (n == RL_SOCKET_BROKEN) {
            give_up(p, "the service closed the connection");
            return;
        }
        if (n == RL_SOCKET_WAIT)
            return;
        rl_buf_consume(&p->first, (size_t)n);
    }
    begin_splice(p);
}

static void on_ready(void *context, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    write_first(context);
}

static bool try_next(struct passage *p, struct rl_error *err);

static void on_again(void *context)
{
    struct passage *p = context;
    struct rl_error err;
    p->address_next = 0;
    if (!try_next(p, &err))
        give_up(p, err.message);
}

/* False: not for this one, or not any longer. */
static bool wait_for_broker(struct passage *p)
{
    struct proxy *proxy = p->proxy;
    uint64_t now_ms = rl_loop_now_ms(proxy->config.loop);
    if (p->arrival.route.kind != ROUTE_BROKER || proxy->is_draining)
        return false;
    if (!p->waits_until_ms) {
        if (proxy->waiting >= PROXY_WAITING_MAX)
            return false;
        proxy->waiting++;
        p->waits_until_ms = now_ms + WAIT_MS;
        p->again = rl_timer_create(proxy->config.loop, on_again, p);
    }
    if (now_ms >= p->waits_until_ms)
        return false;
    uint16_t random;
    rl_random(&random, sizeof random);
    rl_timer_arm(p->again, AGAIN_MS + random % AGAIN_MS);
    return true;
}

static void on_dialled(void *context, int fd, rl_code code, const char *message)
{
    struct passage *p = context;
    struct rl_error err;
    if (code != RL_OK) {
        if (!p->waits_until_ms) /* else it was said */
            rl_log_info("a service was not reached", RL_TEXT("client", p->arrival.address),
                        RL_TEXT("sni", p->arrival.hello.sni), RL_TEXT("error", message));
        rl_fail(&err, code, "%s", message);
        if (!try_next(p, &err) && !wait_for_broker(p))
            give_up(p, err.message);
        return;
    }
    stop_waiting(p);
    if (rl_socket_create(p->proxy->config.loop, fd, NULL, on_ready, p, &p->upstream, &err) !=
        RL_OK) {
        close(fd);
        give_up(p, err.message);
        return;
    }
    write_first(p);
}

/* False: nobody is left, and why. */
static bool try_next(struct passage *p, struct rl_error *err)
{
    while (p->address_next < p->address_count) {
        const char *address = p->addresses[p->address_next++];
        uint32_t timeout_ms = p->address_next < p->address_count ? TRY_MS : PROXY_UPSTREAM_MS;
        if (rl_dial_start(p->proxy->config.loop, address, timeout_ms, on_dialled, p, &p->dial,
                          err) == RL_OK)
            return true;
    }
    return false;
}

static void list_addresses(struct passage *p, struct rl_error *err)
{
    const char *addresses[PROXY_BROKERS_MAX], *reason = NULL;
    size_t n = upstream_addresses(p->proxy, &p->arrival.route, addresses, &reason);
    for (size_t i = 0; i < n && i < TRIES_MAX; i++)
        p->addresses[p->address_count++] = rl_strdup(addresses[i]);
    if (!n)
        rl_fail(err, RL_E_UNAVAILABLE, "%s", reason);
}

static rl_code put_first(struct passage *p, struct rl_span hello, struct rl_error *err)
{
    struct rl_tls_identity *own = p->proxy->own;
    rl_buf_init(&p->first, RL_PROXY_HEADER_BYTES_MAX + hello.n);
    rl_code rc = rl_proxy_header_write(
        (const struct sockaddr *)&p->arrival.client, (const struct sockaddr *)&p->arrival.local,
        p->arrival.hello.random, proxy_now_ns(p->proxy) / 1000000000ll, rl_tls_identity_key(own),
        rl_tls_identity_certificate(own), &p->first, err);
    if (rc == RL_OK && !rl_buf_put_span(&p->first, hello))
        rc = rl_fail(err, RL_E_INTERNAL, "no room for a ClientHello");
    return rc;
}

void passthrough_start(struct proxy *proxy, const struct arrival *arrival, struct rl_span first)
{
    struct passage *p = rl_alloc(sizeof *p);
    p->proxy = proxy;
    p->arrival = *arrival;
    p->next = proxy->passages;
    if (p->next)
        p->next->previous = p;
    proxy->passages = p;
    p->seen_ms = rl_loop_now_ms(proxy->config.loop);
    struct rl_error err;
    list_addresses(p, &err);
    if (!p->address_count || put_first(p, first, &err) != RL_OK || !try_next(p, &err))
        give_up(p, err.message);
}

void passthrough_close_idle(struct proxy *proxy)
{
    uint64_t now_ms = rl_loop_now_ms(proxy->config.loop);
    for (struct passage *p = proxy->passages, *next; p; p = next) {
        next = p->next;
        if (!p->splice || p->arrival.route.kind == ROUTE_BROKER)
            continue;
        if (rl_splice_bytes(p->splice) != p->bytes_seen) {
            p->bytes_seen = rl_splice_bytes(p->splice);
            p->seen_ms = now_ms;
        } else if (now_ms - p->seen_ms >= IDLE_MS) {
            rl_splice_abort(p->splice);
        }
    }
}

void passthrough_close_all(struct proxy *proxy)
{
    while (proxy->passages) {
        struct passage *p = proxy->passages;
        if (p->splice)
            rl_splice_abort(p->splice);
        else
            give_up(p, "the proxy stops");
    }
}
