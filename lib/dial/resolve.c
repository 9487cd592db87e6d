/* resolve: c-ares tells which sockets it waits on and when it wants to be woken; we tell it what
 * came. Its own callback may not destroy its channel, so the answer is handed on by a timer.
 */
#include "dial/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_AGAIN_MS 1000
#define ASK_TIMES 3

struct wait {
    int fd; /* -1: a free place */
    struct rl_watch *watch;
};

struct rl_resolve {
    struct rl_loop *loop;
    rl_resolve_fn fn;
    void *context;
    ares_channel channel; /* NULL: the host is an address */
    struct wait waits[ARES_GETSOCK_MAXNUM];
    struct rl_timer *retry, *answer;
    bool is_stopping;
    int status;
    uint16_t port;
    struct rl_endpoint endpoints[RL_RESOLVE_ADDRESSES_MAX];
    size_t count;
};

/* By hand: getnameinfo() brings all of the libc's name services into a static program. */
void rl_endpoint_format(const struct rl_endpoint *endpoint, char text[RL_RESOLVE_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "", zone[16] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;
    switch (endpoint->address.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, RL_RESOLVE_TEXT_BYTES, "%s:%u", host, ntohs(v4->sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        if (v6->sin6_scope_id)
            snprintf(zone, sizeof zone, "%%%u", v6->sin6_scope_id);
        snprintf(text, RL_RESOLVE_TEXT_BYTES, "[%s%s]:%u", host, zone, ntohs(v6->sin6_port));
        break;
    default:
        snprintf(text, RL_RESOLVE_TEXT_BYTES, "an unknown address");
    }
}

bool rl_endpoint_parse(const char *host, uint16_t port, struct rl_endpoint *out)
{
    struct rl_endpoint endpoint = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&endpoint.address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&endpoint.address;
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        endpoint.bytes = sizeof *v4;
    } else {
        memset(&endpoint, 0, sizeof endpoint);
        if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
            return false;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        endpoint.bytes = sizeof *v6;
    }
    *out = endpoint;
    return true;
}

/* ---- c-ares on the loop ---- */

static void arm_retry(struct rl_resolve *resolve)
{
    struct timeval tv, *next = ares_timeout(resolve->channel, NULL, &tv);
    if (next)
        rl_timer_arm(resolve->retry,
                     (uint64_t)next->tv_sec * 1000 + ((uint64_t)next->tv_usec + 999) / 1000);
    else
        rl_timer_disarm(resolve->retry);
}

static void on_ready(void *context, int fd, unsigned events)
{
    struct rl_resolve *resolve = context;
    bool may_read = events & (RL_LOOP_READ | RL_LOOP_HANGUP);
    bool may_write = events & RL_LOOP_WRITE;
    ares_process_fd(resolve->channel, may_read ? fd : ARES_SOCKET_BAD,
                    may_write ? fd : ARES_SOCKET_BAD);
    arm_retry(resolve);
}

static void on_retry(void *context)
{
    struct rl_resolve *resolve = context;
    ares_process_fd(resolve->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_retry(resolve);
}

static struct wait *find_wait(struct rl_resolve *resolve, int fd)
{
    for (size_t i = 0; i < RL_COUNT(resolve->waits); i++)
        if (resolve->waits[i].fd == fd)
            return &resolve->waits[i];
    return NULL;
}

/* A socket that cannot be watched is not an error yet: c-ares asks again when its time-out comes.
 */
static void on_socket(void *context, ares_socket_t fd, int wants_read, int wants_write)
{
    struct rl_resolve *resolve = context;
    unsigned events =
        (wants_read ? RL_LOOP_READ : 0u) | (wants_write ? (unsigned)RL_LOOP_WRITE : 0u);
    struct wait *wait = find_wait(resolve, fd);
    if (wait && events) {
        rl_watch_change(wait->watch, events);
    } else if (wait) {
        rl_watch_stop(&wait->watch);
        wait->fd = -1;
    } else if (events && (wait = find_wait(resolve, -1)) != NULL &&
               rl_watch_start(resolve->loop, fd, events, on_ready, resolve, &wait->watch, NULL) ==
                   RL_OK) {
        wait->fd = fd;
    }
}

/* ---- the answer ---- */

static void on_answer(void *context)
{
    struct rl_resolve *resolve = context;
    const char *message = NULL;
    if (resolve->count == 0 && resolve->status == ARES_SUCCESS)
        message = "the name has no address";
    else if (resolve->count == 0)
        message = ares_strerror(resolve->status);
    resolve->fn(resolve->context, resolve->endpoints, resolve->count, message);
}

/* The next one of the family from *node on, or NULL. */
static const struct ares_addrinfo_node *next_of(const struct ares_addrinfo_node *node, int family)
{
    while (node && node->ai_family != family)
        node = node->ai_next;
    return node;
}

static void add(struct rl_resolve *resolve, const struct ares_addrinfo_node *node)
{
    if (resolve->count == RL_COUNT(resolve->endpoints) ||
        node->ai_addrlen > sizeof(struct sockaddr_storage))
        return;
    struct rl_endpoint *endpoint = &resolve->endpoints[resolve->count++];
    memcpy(&endpoint->address, node->ai_addr, node->ai_addrlen);
    endpoint->bytes = node->ai_addrlen;
    if (node->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)&endpoint->address)->sin6_port = htons(resolve->port);
    else
        ((struct sockaddr_in *)&endpoint->address)->sin_port = htons(resolve->port);
}

static void collect(struct rl_resolve *resolve, const struct ares_addrinfo_node *nodes)
{
    int first = nodes ? nodes->ai_family : AF_INET6;
    int second = first == AF_INET6 ? AF_INET : AF_INET6;
    const struct ares_addrinfo_node *a = next_of(nodes, first), *b = next_of(nodes, second);
    while (a || b) {
        if (a) {
            add(resolve, a);
            a = next_of(a->ai_next, first);
        }
        if (b) {
            add(resolve, b);
            b = next_of(b->ai_next, second);
        }
    }
}

static void on_addresses(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
    (void)timeouts;
    struct rl_resolve *resolve = context;
    resolve->status = status;
    if (status == ARES_SUCCESS)
        collect(resolve, result->nodes);
    if (result)
        ares_freeaddrinfo(result);
    if (!resolve->is_stopping)
        rl_timer_arm(resolve->answer, 0);
}

/* ---- from outside ---- */

static void init_ares(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* counts without a lock: so only once */
}

static rl_code ask(struct rl_resolve *resolve, const char *host, const char *servers,
                   struct rl_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_ares);
    struct ares_options options = {
        .timeout = ASK_AGAIN_MS,
        .tries = ASK_TIMES,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = resolve,
    };
    int status = ares_init_options(&resolve->channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        resolve->channel = NULL;
        return rl_fail(err, RL_E_EXHAUSTED, "asking for the address of %s: %s", host,
                       ares_strerror(status));
    }
    if (servers) {
        status = ares_set_servers_ports_csv(resolve->channel, servers);
        if (status != ARES_SUCCESS)
            return rl_fail(err, RL_E_INVAL, "name servers '%s': %s", servers,
                           ares_strerror(status));
    }
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(resolve->channel, host, NULL, &hints, on_addresses, resolve);
    arm_retry(resolve);
    return RL_OK;
}

rl_code rl_resolve_start(struct rl_loop *loop, const char *host, uint16_t port, const char *servers,
                         rl_resolve_fn fn, void *context, struct rl_resolve **out,
                         struct rl_error *err)
{
    struct rl_resolve *resolve = rl_alloc(sizeof *resolve);
    *resolve = (struct rl_resolve){.loop = loop, .fn = fn, .context = context, .port = port};
    for (size_t i = 0; i < RL_COUNT(resolve->waits); i++)
        resolve->waits[i].fd = -1;
    resolve->retry = rl_timer_create(loop, on_retry, resolve);
    resolve->answer = rl_timer_create(loop, on_answer, resolve);
    if (rl_endpoint_parse(host, port, &resolve->endpoints[0])) {
        resolve->count = 1;
        rl_timer_arm(resolve->answer, 0);
    } else {
        rl_code rc = ask(resolve, host, servers, err);
        if (rc != RL_OK) {
            rl_resolve_stop(&resolve);
            return rc;
        }
    }
    *out = resolve;
    return RL_OK;
}

void rl_resolve_stop(struct rl_resolve **resolve)
{
    if (!resolve || !*resolve)
        return;
    struct rl_resolve *dead = *resolve;
    *resolve = NULL;
    dead->is_stopping = true;
    if (dead->channel)
        ares_destroy(dead->channel); /* runs on_addresses and on_socket once more */
    rl_timer_free(&dead->retry);
    rl_timer_free(&dead->answer);
    free(dead);
}

/* ---- waiting ---- */

struct found {
    bool is_known;
    struct rl_endpoint *endpoints;
    size_t count;
};

static void on_found(void *context, const struct rl_endpoint *endpoints, size_t count,
                     const char *message)
{
    (void)message;
    struct found *found = context;
    found->is_known = true;
    found->count = count;
    if (count)
        memcpy(found->endpoints, endpoints, count * sizeof *endpoints);
}

size_t rl_resolve_blocking(const char *host, uint16_t port,
                           struct rl_endpoint out[RL_RESOLVE_ADDRESSES_MAX])
{
    struct found found = {.endpoints = out};
    struct rl_loop *loop = NULL;
    struct rl_resolve *resolve = NULL;
    if (rl_loop_create(&loop, NULL) != RL_OK)
        return 0;
    rl_code rc = rl_resolve_start(loop, host, port, NULL, on_found, &found, &resolve, NULL);
    while (rc == RL_OK && !found.is_known)
        rl_loop_turn(loop, -1);
    rl_resolve_stop(&resolve);
    rl_loop_free(&loop);
    return found.count;
}
