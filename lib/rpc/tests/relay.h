/* relay: a TCP relay on the test's own loop that can fall silent, be cut, lead elsewhere, or put a
 * PROXY header before what the client says: the network and the proxy of these tests. */
#ifndef RL_RPC_TESTS_RELAY_H
#define RL_RPC_TESTS_RELAY_H

#include "dial/dial.h"
#include "rpc/tests/world.h"
#include "tls/hello.h"
#include "tls/proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define RELAY_PAIRS_MAX 8
#define RELAY_BYTES_MAX (1u << 24)

/* Bytes that are on their way for a while. */
struct relay_parcel {
    struct relay_parcel *next;
    uint64_t due_ms;
    size_t n;
    uint8_t bytes[];
};

struct relay_side {
    struct relay_pair *pair;
    int fd;
    struct rl_watch *watch;
    struct rl_buf out; /* to be written to fd */
    struct relay_parcel *parcels, **parcels_end;
    size_t held; /* in parcels */
    struct rl_timer *arrival;
};

struct relay_pair {
    struct relay *relay;
    struct relay_side client, server;
    bool must_have_header;
};

struct relay {
    struct world *world;
    int fd;
    struct rl_watch *watch;
    char address[64];
    uint16_t target;
    bool is_silent;
    uint64_t delay_ms;              /* each way */
    size_t most_held;               /* on the way to one side at once */
    struct rl_tls_identity *signer; /* of a PROXY header; NULL: none is sent */
    const char *header_address;
    bool spoils_random;
    struct relay_pair *pairs[RELAY_PAIRS_MAX];
    size_t count;
};

static inline void relay_side_close(struct relay_side *side)
{
    rl_watch_stop(&side->watch);
    if (side->fd >= 0)
        close(side->fd);
    side->fd = -1;
    rl_buf_fini(&side->out);
    rl_timer_free(&side->arrival);
    while (side->parcels) {
        struct relay_parcel *parcel = side->parcels;
        side->parcels = parcel->next;
        free(parcel);
    }
}

/* Both connections end at once. */
static inline void relay_cut(struct relay *relay)
{
    for (size_t i = 0; i < relay->count; i++) {
        relay_side_close(&relay->pairs[i]->client);
        relay_side_close(&relay->pairs[i]->server);
        free(relay->pairs[i]);
    }
    relay->count = 0;
}

static inline void relay_close_pair(struct relay_pair *pair)
{
    relay_side_close(&pair->client);
    relay_side_close(&pair->server);
}

static inline void relay_flush(struct relay_side *side)
{
    while (side->out.n > 0) {
        ssize_t n = send(side->fd, side->out.p, side->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        rl_buf_consume(&side->out, (size_t)n);
    }
    if (side->watch)
        rl_watch_change(side->watch, side->out.n ? RL_LOOP_READ | RL_LOOP_WRITE : RL_LOOP_READ);
}

static inline void relay_on_arrival(void *context)
{
    struct relay_side *side = context;
    uint64_t now = rl_clock_boot_ms();
    while (side->parcels && side->parcels->due_ms <= now) {
        struct relay_parcel *parcel = side->parcels;
        side->parcels = parcel->next;
        ck_assert(rl_buf_put(&side->out, parcel->bytes, parcel->n));
        side->held -= parcel->n;
        free(parcel);
    }
    if (side->parcels)
        rl_timer_arm(side->arrival, side->parcels->due_ms - now);
    else
        side->parcels_end = &side->parcels;
    relay_flush(side);
}

static inline void relay_send_later(struct relay_side *side, const uint8_t *bytes, size_t n)
{
    struct relay_parcel *parcel = rl_alloc(sizeof *parcel + n);
    struct relay *relay = side->pair->relay;
    uint64_t delay_ms = relay->delay_ms;
    side->held += n;
    relay->most_held = side->held > relay->most_held ? side->held : relay->most_held;
    parcel->due_ms = rl_clock_boot_ms() + delay_ms;
    parcel->n = n;
    memcpy(parcel->bytes, bytes, n);
    if (!side->parcels)
        rl_timer_arm(side->arrival, delay_ms);
    *side->parcels_end = parcel;
    side->parcels_end = &parcel->next;
}

/* Once the ClientHello is whole: the header goes before it. */
static inline bool relay_put_header(struct relay_pair *pair)
{
    struct relay *relay = pair->relay;
    struct rl_client_hello hello;
    if (rl_client_hello_parse(rl_buf_span(&pair->server.out), &hello, NULL) != RL_HELLO_WHOLE)
        return false;
    hello.random[0] ^= relay->spoils_random;
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_port = htons(4711)};
    struct sockaddr_in destination = source;
    ck_assert_int_eq(inet_pton(AF_INET, relay->header_address, &source.sin_addr), 1);
    ck_assert_int_eq(inet_pton(AF_INET, "127.0.0.1", &destination.sin_addr), 1);
    struct rl_buf all;
    rl_buf_init(&all, RELAY_BYTES_MAX);
    ck_assert_int_eq(rl_proxy_header_write((const struct sockaddr *)&source,
                                           (const struct sockaddr *)&destination, hello.random,
                                           world_now_s(NULL), rl_tls_identity_key(relay->signer),
                                           rl_tls_identity_certificate(relay->signer), &all, NULL),
                     RL_OK);
    rl_buf_put_span(&all, rl_buf_span(&pair->server.out));
    rl_buf_fini(&pair->server.out);
    pair->server.out = all;
    pair->must_have_header = false;
    return true;
}

static inline void relay_on_ready(void *context, int fd, unsigned events)
{
    struct relay_side *side = context;
    struct relay_pair *pair = side->pair;
    struct relay_side *other = side == &pair->client ? &pair->server : &pair->client;
    if (pair->relay->is_silent) {
        rl_watch_change(side->watch, 0);
        return;
    }
    if (events & RL_LOOP_WRITE)
        relay_flush(side);
    if (!(events & (RL_LOOP_READ | RL_LOOP_HANGUP)))
        return;
    uint8_t bytes[16384];
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        relay_close_pair(pair);
        return;
    }
    if (pair->relay->delay_ms) {
        relay_send_later(other, bytes, (size_t)n);
        return;
    }
    ck_assert(rl_buf_put(&other->out, bytes, (size_t)n));
    if (other == &pair->server && pair->must_have_header && !relay_put_header(pair))
        return;
    relay_flush(other);
}

static inline void relay_side_open(struct relay_pair *pair, struct relay_side *side, int fd)
{
    side->pair = pair;
    side->fd = fd;
    rl_buf_init(&side->out, RELAY_BYTES_MAX);
    side->parcels_end = &side->parcels;
    side->arrival = rl_timer_create(pair->relay->world->loop, relay_on_arrival, side);
    ck_assert_int_eq(rl_watch_start(pair->relay->world->loop, fd, RL_LOOP_READ, relay_on_ready,
                                    side, &side->watch, NULL),
                     RL_OK);
}

static inline void relay_on_accept(void *context, int fd, unsigned events)
{
    (void)events;
    struct relay *relay = context;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(relay->target)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(server, (struct sockaddr *)&to, sizeof to) != 0) {
        close(client);
        close(server);
        return;
    }
    ck_assert_uint_lt(relay->count, RELAY_PAIRS_MAX);
    struct relay_pair *pair = rl_alloc(sizeof *pair);
    relay->pairs[relay->count++] = pair;
    pair->relay = relay;
    pair->must_have_header = relay->signer != NULL;
    relay_side_open(pair, &pair->client, client);
    relay_side_open(pair, &pair->server, server);
}

static inline struct relay *relay_make(struct world *w)
{
    struct relay *relay = rl_alloc(sizeof *relay);
    uint16_t port;
    relay->world = w;
    relay->target = w->port;
    relay->header_address = "192.0.2.7";
    ck_assert_int_eq(rl_listen("127.0.0.1:0", &relay->fd, &port, NULL), RL_OK);
    snprintf(relay->address, sizeof relay->address, "127.0.0.1:%u", port);
    ck_assert_int_eq(rl_watch_start(w->loop, relay->fd, RL_LOOP_READ, relay_on_accept, relay,
                                    &relay->watch, NULL),
                     RL_OK);
    return relay;
}

static inline void relay_free(struct relay *relay)
{
    relay_cut(relay);
    rl_watch_stop(&relay->watch);
    close(relay->fd);
    free(relay);
}

#endif
