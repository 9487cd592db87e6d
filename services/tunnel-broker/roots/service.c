/* service: a root's user at this cluster's auth, or at its audit. Both are behind their proxied
 * listeners, as for everybody; TLS is theirs, with the user's own certificate, and this broker
 * vouches for the address that the root said, as a proxy vouches for the one that it saw. So
 * between the tunnel and the service there is one thing to do: to put the header before the
 * ClientHello that it is signed for.
 */
#include "internal.h"

#include "bytes/secret.h"
#include "dial/dial.h"
#include "tls/hello.h"
#include "tls/proxy_protocol.h"
#include "tunnel_rpc/tunnel_rpc.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIES_MAX 4
#define TRY_MS 2000
#define HELLO_MS 10000
#define FIRST_BYTES_MAX (RL_PROXY_HEADER_BYTES_MAX + 2 * RL_HELLO_BYTES_MAX)

struct service {
    struct root *root;
    struct link *link; /* that asked; of it, this attachment: */
    uint64_t epoch;
    uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES];
    struct service *next, **at;
    struct asked asked;
    struct sockaddr_storage client; /* as the root says */
    char *addresses[TRIES_MAX];
    size_t address_count, address_next;
    struct rl_dial *dial;
    struct rl_tunnel_end *end;
    struct rl_socket *inner, *outer; /* to the end; to the service */
    struct rl_buf first;             /* the ClientHello; then with the header before it */
    bool has_hello;
    struct rl_splice *splice;
    struct rl_timer *timer;
    bool is_over;
};

/* ---- its end ---- */

static void free_if_over(struct service *s)
{
    if (!s->is_over || s->end)
        return;
    *s->at = s->next;
    if (s->next)
        s->next->at = s->at;
    s->root->service_count--;
    for (size_t i = 0; i < s->address_count; i++)
        free(s->addresses[i]);
    rl_dial_cancel(&s->dial);
    rl_buf_fini(&s->first);
    rl_timer_free(&s->timer);
    asked_fini(&s->asked);
    free(s);
}

/* It may be gone afterwards: the end is, when its stream is. */
static void give_up(struct service *s, rl_code code, const char *message)
{
    s->is_over = true;
    rl_timer_disarm(s->timer);
    rl_dial_cancel(&s->dial);
    rl_socket_abort(&s->inner);
    rl_socket_abort(&s->outer);
    if (s->end)
        rl_tunnel_end_abort(s->end, code, message);
    else
        free_if_over(s);
}

static void on_end_closed(void *context, const struct rl_tunnel_summary *summary)
{
    struct service *s = context;
    rl_log_info("a root's connection is over", RL_TEXT("cluster", s->root->name),
                RL_TEXT("user", s->asked.user->name), RL_TEXT("kind", s->asked.ticket->target_kind),
                RL_TEXT("code", rl_code_name(summary->code)), RL_TEXT("reason", summary->message),
                RL_NUMBER("bytes_in", summary->bytes_to_socket),
                RL_NUMBER("bytes_out", summary->bytes_from_socket));
    s->end = NULL;
    free_if_over(s); /* else the other socket of its pair has ended, and that is noticed */
}

static void on_spliced(void *context, const uint64_t bytes[2])
{
    (void)bytes;
    struct service *s = context;
    s->splice = NULL;
    s->is_over = true;
    free_if_over(s);
}

static void on_timer(void *context)
{
    give_up(context, RL_E_DEADLINE, "no TLS began in time");
}

void services_drop(struct root *root)
{
    while (root->services) {
        struct service *s = root->services;
        if (s->splice)
            rl_splice_abort(s->splice); /* on_spliced() */
        if (root->services == s)
            give_up(s, RL_E_UNAVAILABLE, "the root is left");
    }
}

/* ---- the first bytes ---- */

static rl_code put_header(struct service *s, const struct rl_client_hello *hello,
                          struct rl_error *err)
{
    const struct broker *broker = s->root->roots->broker;
    struct sockaddr_storage here = {.ss_family = s->client.ss_family};
    struct rl_buf whole;
    rl_buf_init(&whole, FIRST_BYTES_MAX);
    rl_code rc = rl_proxy_header_write(
        (const struct sockaddr *)&s->client, (const struct sockaddr *)&here, hello->random,
        broker_now_ns(broker) / 1000000000ll, rl_tls_identity_key(broker->own),
        rl_tls_identity_certificate(broker->own), &whole, err);
    if (rc == RL_OK && !rl_buf_put_span(&whole, rl_buf_span(&s->first)))
        rc = rl_fail(err, RL_E_INVAL, "the ClientHello is too long");
    rl_buf_fini(&s->first);
    s->first = whole;
    return rc;
}

static void write_first(struct service *s)
{
    while (s->first.n) {
        ssize_t n = rl_socket_write(s->outer, s->first.p, s->first.n);
        if (n == RL_SOCKET_WAIT)
            return;
        if (n == RL_SOCKET_BROKEN) {
            give_up(s, RL_E_UNAVAILABLE, "the service closed the connection");
            return;
        }
        rl_buf_consume(&s->first, (size_t)n);
    }
    rl_timer_disarm(s->timer);
    struct rl_socket *inner = s->inner, *outer = s->outer;
    struct roots *roots = s->root->roots;
    s->inner = s->outer = NULL;
    s->splice =
        rl_splice_start(roots->broker->config.loop, &roots->pipes, inner, outer, on_spliced, s);
}

/* True: the ClientHello is not whole yet. */
static bool examine(struct service *s)
{
    struct rl_client_hello hello;
    struct rl_error err;
    enum rl_hello_result result = rl_client_hello_parse(rl_buf_span(&s->first), &hello, &err);
    if (result == RL_HELLO_MORE)
        return true;
    s->has_hello = true;
    if (result == RL_HELLO_BAD || put_header(s, &hello, &err) != RL_OK)
        give_up(s, RL_E_INVAL, err.message);
    else
        write_first(s);
    return false;
}

/* No more than a ClientHello is read here: what follows goes by the splice. */
static void on_inner(void *context, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct service *s = context;
    uint8_t bytes[2048];
    ssize_t n;
    do {
        n = rl_socket_read(s->inner, bytes, sizeof bytes);
        if (n == RL_SOCKET_WAIT)
            return;
        if (n <= 0 || !rl_buf_put(&s->first, bytes, (size_t)n)) {
            give_up(s, RL_E_INVAL, "no TLS began");
            return;
        }
    } while (examine(s));
}

static void on_outer(void *context, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct service *s = context;
    if (s->has_hello)
        write_first(s);
}

/* ---- the way there ---- */

static void refuse(struct service *s, rl_code code, const char *message)
{
    const struct link *link = s->link;
    if (link->line && rl_uplink_epoch(link->line) == s->epoch)
        root_refuse(s->link, s->stream_id, &s->asked, code, message);
    s->is_over = true;
    free_if_over(s);
}

static rl_code open_end(struct service *s, struct rl_error *err)
{
    Pb__CarryJoin join = PB__CARRY_JOIN__INIT;
    join.stream_id = (ProtobufCBinaryData){sizeof s->stream_id, s->stream_id};
    join.epoch = s->epoch;
    Pb__Frame first = PB__FRAME__INIT;
    first.join = &join;
    const struct rl_tunnel_end_config config = {
        .loop = s->root->roots->broker->config.loop,
        .role = RL_TUNNEL_CARRIES,
        .window_bytes = RL_RPC_RAW_WINDOW_BYTES_MAX,
        .closed = on_end_closed,
        .context = s,
    };
    if (!s->link->line || rl_uplink_epoch(s->link->line) != s->epoch)
        return rl_fail(err, RL_E_UNAVAILABLE, "the root is not there any more");
    return rl_tunnel_rpc_open(rl_uplink_channel(s->link->line), &pb__tunnel_broker__descriptor,
                              "Carry", &config, &first, &s->end, err);
}

/* Takes both ends of a pair: one is the tunnel's. */
static rl_code join_ends(struct service *s, const int pair[2], struct rl_error *err)
{
    struct rl_loop *loop = s->root->roots->broker->config.loop;
    struct rl_socket *tunnel = NULL;
    rl_code rc = rl_socket_create(loop, pair[0], NULL, NULL, NULL, &tunnel, err);
    if (rc != RL_OK) {
        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    rc = rl_socket_create(loop, pair[1], NULL, on_inner, s, &s->inner, err);
    if (rc != RL_OK)
        close(pair[1]);
    if (rc == RL_OK)
        rc = open_end(s, err);
    if (rc == RL_OK)
        rl_tunnel_end_attach(s->end, &tunnel, RL_SPAN(NULL, 0));
    else
        rl_socket_abort(&tunnel);
    return rc;
}

static rl_code take_connection(struct service *s, int fd, struct rl_error *err)
{
    int pair[2];
    rl_code rc = rl_socket_create(s->root->roots->broker->config.loop, fd, NULL, on_outer, s,
                                  &s->outer, err);
    if (rc != RL_OK) {
        close(fd);
        return rc;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return rl_fail_errno(err, RL_E_EXHAUSTED, "no pair of sockets");
    return join_ends(s, pair, err);
}

static bool try_next(struct service *s, struct rl_error *err);

static void on_dialled(void *context, int fd, rl_code code, const char *message)
{
    struct service *s = context;
    struct rl_error err;
    if (code != RL_OK) {
        rl_log_info("a service was not reached", RL_TEXT("kind", s->asked.ticket->target_kind),
                    RL_TEXT("error", message));
        if (!try_next(s, &err))
            refuse(s, RL_E_UNAVAILABLE, "it can not be reached now; try again in a moment");
        return;
    }
    rl_code rc = take_connection(s, fd, &err);
    if (rc == RL_OK) {
        rl_metric_add(s->root->roots->opens_ok, 1);
        rl_timer_arm(s->timer, HELLO_MS);
        on_inner(s, true, false); /* and is told from then on when there is something */
        return;
    }
    rl_socket_abort(&s->inner);
    rl_socket_abort(&s->outer);
    refuse(s, rc, err.message);
}

static bool try_next(struct service *s, struct rl_error *err)
{
    while (s->address_next < s->address_count)
        if (rl_dial_start(s->root->roots->broker->config.loop, s->addresses[s->address_next++],
                          TRY_MS, on_dialled, s, &s->dial, err) == RL_OK)
            return true;
    return false;
}

/* From one of them on, left to chance. */
static void list_addresses(struct service *s, char *const *list, size_t count)
{
    uint32_t random;
    rl_random(&random, sizeof random);
    for (size_t i = 0; i < count && i < TRIES_MAX; i++)
        s->addresses[s->address_count++] = rl_strdup(list[(i + random % count) % count]);
}

static rl_code read_address(const char *text, struct sockaddr_storage *out, struct rl_error *err)
{
    char *host = NULL;
    uint16_t port;
    rl_code rc = rl_address_split(text, &host, &port, err);
    if (rc != RL_OK)
        return rc;
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
    } else {
        rc = rl_fail(err, RL_E_INVAL, "the ticket says no client's address");
    }
    free(host);
    return rc;
}

static struct service *create(struct link *link, uint64_t epoch, const uint8_t *stream_id,
                              const struct asked *asked)
{
    struct root *root = link->root;
    struct service *s = rl_alloc(sizeof *s);
    s->root = root;
    s->link = link;
    s->epoch = epoch;
    memcpy(s->stream_id, stream_id, sizeof s->stream_id);
    s->asked = *asked;
    s->next = root->services;
    s->at = &root->services;
    if (s->next)
        s->next->at = &s->next;
    root->services = s;
    root->service_count++;
    rl_buf_init(&s->first, 2 * RL_HELLO_BYTES_MAX);
    s->timer = rl_timer_create(root->roots->broker->config.loop, on_timer, s);
    return s;
}

void service_begin(struct link *link, const uint8_t stream_id[RL_TUNNEL_STREAM_ID_BYTES],
                   uint64_t epoch, struct asked *asked)
{
    const Pb__ControlUpdate *state = rl_control_state(link->root->roots->broker->control);
    bool is_auth = strcmp(asked->ticket->target_kind, "auth") == 0;
    bool is_full = link->root->service_count >= ROOT_SERVICES_MAX;
    struct service *s = create(link, epoch, stream_id, asked);
    struct rl_error err;
    rl_code rc = is_full ? rl_fail(&err, RL_E_EXHAUSTED, "too many connections to its %s",
                                   asked->ticket->target_kind)
                         : read_address(asked->ticket->client_address, &s->client, &err);
    if (rc == RL_OK && state->services && is_auth)
        list_addresses(s, state->services->auth, state->services->n_auth);
    else if (rc == RL_OK && state->services)
        list_addresses(s, state->services->audit, state->services->n_audit);
    if (rc == RL_OK && !try_next(s, &err))
        rc = rl_fail(&err, RL_E_UNAVAILABLE, "there is none now; try again in a moment");
    if (rc != RL_OK)
        refuse(s, rc, err.message);
}
