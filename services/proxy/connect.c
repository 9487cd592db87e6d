/* connect: a user with a certificate asks for a target, is answered once, and from there on its
 * bytes go to the node as they are. What the user may do there the node decides; here only who
 * comes and whether he was stopped.
 */
#include "connect.h"

#include "enrol/enrol.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOODBYE_MS 5000
#define RESPONSE_BYTES_MAX 4096
/* What the node itself ends, it ends with a reason that the user sees; it hears of a lock when we
 * do. After this long it is ended here, whatever the node does. */
#define STOP_GRACE_MS 700
#define EXPIRY_STEP_MS 3600000u /* a clock may be set: the time is looked at each hour */

/* ---- its end ---- */

static void free_user(struct user_connection *u)
{
    struct proxy *proxy = u->proxy;
    if (u->previous)
        u->previous->next = u->next;
    else
        proxy->users = u->next;
    if (u->next)
        u->next->previous = u->previous;
    rl_socket_close(&u->socket);
    rl_timer_free(&u->timer);
    rl_timer_free(&u->expiry);
    rl_timer_free(&u->redial);
    rl_buf_fini(&u->bytes);
    rl_identity_unref(&u->identity);
    X509_free(u->certificate);
    if (u->request)
        pb__connect_request__free_unpacked(u->request, NULL);
    if (u->where)
        pb__resolve_target_response__free_unpacked(u->where, NULL);
    dialling_forget_candidates(u);
    upstream_release(&u->upstream);
    free(u);
    rl_metric_add(proxy->users_gauge, -1);
    proxy_count(proxy, -1);
}

static void free_if_over(struct user_connection *u)
{
    if (u->is_over && !u->end && !u->resolving)
        free_user(u);
}

void connect_ended(struct user_connection *u, const struct rl_tunnel_summary *summary)
{
    rl_metric_add(u->proxy->user_bytes,
                  (int64_t)(summary->bytes_from_socket + summary->bytes_to_socket));
    rl_log_info("connection ended", RL_TEXT("user", u->identity->name),
                RL_TEXT("client", u->arrival.address), RL_TEXT("session", u->session_id),
                RL_TEXT("code", rl_code_name(summary->code)), RL_TEXT("reason", summary->message),
                RL_NUMBER("bytes_in", summary->bytes_from_socket),
                RL_NUMBER("bytes_out", summary->bytes_to_socket),
                RL_NUMBER("resumes", summary->resumes));
    u->is_over = true;
    free_if_over(u);
}

/* ---- the event ---- */

static void describe_node(const struct user_connection *u, Pb__Event *event)
{
    char *target = rl_name_printable(u->request ? u->request->target : "");
    rl_event_set(&event->resource_kind, "node");
    rl_event_set(&event->resource_id, u->where ? u->where->agent_id : "");
    rl_event_set(&event->resource_name, u->where ? u->where->name : target);
    rl_event_detail(event, "target", target);
    free(target);
}

/* What is done in another cluster is recorded there: here only that it was dialled. */
static void describe_leaf(const struct user_connection *u, Pb__Event *event)
{
    const char *name = u->request ? u->request->cluster : "";
    rl_event_set(&event->resource_kind, "cluster");
    rl_event_set(&event->resource_id, name);
    rl_event_set(&event->resource_name, name);
}

void connect_tell(struct user_connection *u, rl_code code, const char *reason)
{
    struct proxy *proxy = u->proxy;
    const char *outcome =
        code == RL_OK                                                                   ? "success"
        : code == RL_E_DENIED || code == RL_E_UNAUTHENTICATED || code == RL_E_NOT_FOUND ? "denied"
                                                                                        : "failure";
    rl_metric_add(code == RL_OK ? proxy->dials_ok : proxy->dials_failed, 1);
    const char *leaf = u->request && u->is_for_leaf ? u->request->cluster : NULL;
    rl_log_info("dial", RL_TEXT("user", u->identity ? u->identity->name : ""),
                RL_TEXT("client", u->arrival.address),
                RL_TEXT("cluster", leaf ? leaf : proxy->config.cluster),
                RL_TEXT("target", u->request && !leaf ? u->request->target : ""),
                RL_TEXT("node", u->where ? u->where->agent_id : ""),
                RL_TEXT("session", u->session_id), RL_TEXT("code", rl_code_name(code)),
                RL_TEXT("reason", reason),
                RL_NUMBER("took_ms", (proxy_now_ns(proxy) - u->began_ns) / 1000000));
    if (!proxy->events)
        return;
    Pb__Event *event = rl_event_create("proxy.dial", outcome, proxy_now_ns(proxy));
    rl_event_set(&event->cluster, proxy->config.cluster);
    rl_event_set(&event->user, u->identity ? u->identity->name : "");
    rl_event_set(&event->user_cluster, u->identity ? u->identity->cluster : "");
    rl_event_set(&event->session_id, u->session_id);
    rl_event_set(&event->client_address, u->arrival.address);
    rl_event_set(&event->peer_address, u->arrival.address);
    if (u->is_for_leaf) {
        describe_leaf(u, event);
        /* Its words can name what is there. */
        rl_event_set(&event->reason, code == RL_OK ? "" : rl_code_name(code));
    } else {
        describe_node(u, event);
        rl_event_set(&event->reason, reason);
    }
    rl_outbox_send(proxy->events, &event);
}

/* ---- the answer ---- */

/* Whose authorities the user holds for the leaf's nodes is for him to see. False: not one. */
static bool hash_leaf_trust(const struct user_connection *u, uint8_t out[32])
{
    const Pb__ControlUpdate *state = rl_control_state(u->proxy->control);
    for (size_t i = 0; i < state->n_clusters; i++) {
        const Pb__PeerCluster *c = state->clusters[i];
        if (!c->is_root && c->trust && strcmp(c->name, u->request->cluster) == 0) {
            rl_trust_bundle_hash(c->trust, out);
            return true;
        }
    }
    return false;
}

void connect_pack_response(const struct user_connection *u, struct rl_buf *out, rl_code code,
                           const char *message)
{
    struct proxy *proxy = u->proxy;
    Pb__ConnectResponse response = PB__CONNECT_RESPONSE__INIT;
    response.code = (uint32_t)code;
    response.message = (char *)(uintptr_t)message;
    response.session_id = (char *)(uintptr_t)u->session_id;
    response.trust_sha256 = (ProtobufCBinaryData){sizeof proxy->trust_sha256, proxy->trust_sha256};
    uint8_t leaf_trust[32];
    if (code == RL_OK && u->is_for_leaf && hash_leaf_trust(u, leaf_trust))
        response.leaf_trust_sha256 = (ProtobufCBinaryData){sizeof leaf_trust, leaf_trust};
    size_t n = pb__connect_response__get_packed_size(&response);
    uint8_t *to = rl_buf_reserve(out, REQUEST_LENGTH_BYTES + n);
    if (!to)
        return; /* a message is bounded: it fits */
    rl_buf_put_u32(out, (uint32_t)n);
    out->n += pb__connect_response__pack(&response, out->p + out->n);
}

/* Writes what is left, says the end, and reads until the user has gone too: closing with unread
 * bytes would reset the connection and take the answer with it. */
static void say_goodbye(struct user_connection *u)
{
    while (u->bytes.n) {
        ssize_t n = rl_socket_write(u->socket, u->bytes.p, u->bytes.n);
        if (n == RL_SOCKET_WAIT)
            return;
        if (n == RL_SOCKET_BROKEN) {
            free_user(u);
            return;
        }
        rl_buf_consume(&u->bytes, (size_t)n);
    }
    rl_socket_finish(u->socket);
    uint8_t unread[1024];
    ssize_t n;
    do
        n = rl_socket_read(u->socket, unread, sizeof unread);
    while (n > 0);
    if (n != RL_SOCKET_WAIT)
        free_user(u);
}

void connect_answer(struct user_connection *u, rl_code code, const char *message)
{
    connect_tell(u, code, message);
    u->state = USER_CLOSING;
    u->is_over = true;
    rl_buf_fini(&u->bytes);
    rl_buf_init(&u->bytes, RESPONSE_BYTES_MAX);
    connect_pack_response(u, &u->bytes, code, message);
    rl_timer_disarm(u->expiry);
    rl_timer_arm(u->timer, GOODBYE_MS);
    say_goodbye(u);
}

/* ---- stopping ---- */

/* Ends it in whatever state it is; it may be gone afterwards. */
static void stop(struct user_connection *u, rl_code code, const char *message)
{
    switch (u->state) {
    case USER_ASKING:
        connect_answer(u, code, message);
        return;
    case USER_RESOLVING:
    case USER_DIALLING:
        u->must_stop = true;
        rl_fail(&u->failure, code, "%s", message);
        if (u->resolving)
            rl_rpc_cancel(u->resolving);
        else if (u->end)
            rl_tunnel_end_abort(u->end, code, message);
        return;
    case USER_JOINED:
        if (u->end)
            rl_tunnel_end_abort(u->end, code, message);
        return;
    case USER_CLOSING:
        return;
    }
}

rl_code connect_check(const struct user_connection *u, struct rl_error *err)
{
    struct proxy *proxy = u->proxy;
    if (!proxy->control || !rl_control_state(proxy->control)->revision)
        return rl_fail(err, RL_E_UNAVAILABLE, "the proxy has not heard from auth yet; try again");
    struct user_now now = {
        .cluster = proxy->config.cluster,
        .trust = proxy->users_trust,
        .state = rl_control_state(proxy->control),
        .now_ns = proxy_now_ns(proxy),
        .node_id = u->where && !u->is_for_leaf ? u->where->agent_id : NULL,
        .node_name = u->where && !u->is_for_leaf ? u->where->name : NULL,
    };
    return user_check(u->identity, &now, err);
}

static void arm_expiry(struct user_connection *u)
{
    int64_t left_ms = u->identity->not_after_s * 1000 - proxy_now_ns(u->proxy) / 1000000 + 1000;
    rl_timer_arm(u->expiry, left_ms < 0                ? 0
                            : left_ms > EXPIRY_STEP_MS ? EXPIRY_STEP_MS
                                                       : (uint64_t)left_ms);
}

static void on_expiry(void *context)
{
    struct user_connection *u = context;
    struct rl_error err;
    u->is_stopping = false;
    arm_expiry(u);
    rl_code rc = connect_check(u, &err);
    if (rc != RL_OK)
        stop(u, rc, err.message);
}

/* It may be gone afterwards. */
static void check_one(struct user_connection *u)
{
    struct rl_error err;
    rl_code rc = u->state == USER_CLOSING ? RL_OK : connect_check(u, &err);
    if (rc == RL_OK || u->is_stopping)
        return;
    if (u->state != USER_JOINED) {
        stop(u, rc, err.message);
        return;
    }
    u->is_stopping = true;
    rl_timer_arm(u->expiry, STOP_GRACE_MS); /* it is looked at again then */
}

void connect_check_all(struct proxy *proxy)
{
    for (struct user_connection *u = proxy->users, *next; u; u = next) {
        next = u->next;
        check_one(u);
    }
}

void connect_close_all(struct proxy *proxy, rl_code code, const char *reason)
{
    for (struct user_connection *u = proxy->users, *next; u; u = next) {
        next = u->next;
        if (u->state == USER_ASKING || u->state == USER_CLOSING)
            free_user(u);
        else
            stop(u, code, reason);
    }
}

size_t connect_count(const struct proxy *proxy)
{
    size_t n = 0;
    for (struct user_connection *u = proxy->users; u; u = u->next)
        n++;
    return n;
}

/* ---- the request ---- */

static void on_request(struct user_connection *u)
{
    struct rl_error err;
    u->request = request_read(rl_buf_span(&u->bytes));
    rl_code rc = u->request ? request_check(u->request, u->proxy->config.cluster, &err)
                            : rl_fail(&err, RL_E_INVAL, "the request can not be read");
    if (rc != RL_OK) {
        connect_answer(u, rc, err.message);
        return;
    }
    u->is_for_leaf = request_is_for_leaf(u->request, u->proxy->config.cluster);
    /* A leaf trusts this cluster's users, not those whom this cluster trusts. */
    if (u->is_for_leaf && strcmp(u->identity->cluster, u->proxy->config.cluster) != 0) {
        connect_answer(u, RL_E_DENIED, "users of another cluster reach no other from here");
        return;
    }
    rl_timer_disarm(u->timer);
    dialling_start(u);
}

/* Reads to the request's last byte and not beyond: what follows is the node's. */
static void read_request(struct user_connection *u)
{
    size_t missing;
    while ((missing = request_missing(rl_buf_span(&u->bytes))) > 0) {
        uint8_t *to = missing == SIZE_MAX ? NULL : rl_buf_reserve(&u->bytes, missing);
        if (!to) {
            connect_answer(u, RL_E_INVAL, "the request is too long");
            return;
        }
        ssize_t n = rl_socket_read(u->socket, to, missing);
        if (n == RL_SOCKET_WAIT)
            return;
        if (n <= 0) {
            free_user(u);
            return;
        }
        u->bytes.n += (size_t)n;
    }
    on_request(u);
}

static void on_ready(void *context, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    struct user_connection *u = context;
    if (u->state == USER_ASKING)
        read_request(u);
    else if (u->state == USER_CLOSING)
        say_goodbye(u);
}

static void on_timer(void *context)
{
    struct user_connection *u = context;
    if (u->state == USER_ASKING)
        connect_answer(u, RL_E_DEADLINE, "no request came in time");
    else
        free_user(u);
}

static struct user_connection *create(struct proxy *proxy, const struct arrival *arrival)
{
    struct user_connection *u = rl_alloc(sizeof *u);
    u->proxy = proxy;
    u->arrival = *arrival;
    u->began_ns = proxy_now_ns(proxy);
    rl_uuid4(u->session_id);
    rl_buf_init(&u->bytes, REQUEST_LENGTH_BYTES + PROXY_REQUEST_BYTES_MAX);
    u->timer = rl_timer_create(proxy->config.loop, on_timer, u);
    u->expiry = rl_timer_create(proxy->config.loop, on_expiry, u);
    u->redial = rl_timer_create(proxy->config.loop, dialling_again, u);
    u->next = proxy->users;
    if (u->next)
        u->next->previous = u;
    proxy->users = u;
    rl_metric_add(proxy->users_gauge, 1);
    return u;
}

void connect_start(struct proxy *proxy, const struct arrival *arrival, SSL *ssl)
{
    struct user_connection *u = create(proxy, arrival);
    struct rl_error err;
    if (rl_socket_create(proxy->config.loop, arrival->fd, ssl, on_ready, u, &u->socket, &err) !=
        RL_OK) {
        SSL_free(ssl);
        close(arrival->fd);
        free_user(u);
        return;
    }
    rl_code rc = rl_tls_peer(ssl, &u->identity, &err);
    u->certificate = SSL_get1_peer_certificate(ssl);
    if (rc == RL_OK && !u->identity)
        rc = rl_fail(&err, RL_E_UNAUTHENTICATED, "no certificate was shown; run tsh login");
    if (rc == RL_OK)
        rc = connect_check(u, &err);
    if (rc != RL_OK) {
        connect_answer(u, rc, err.message);
        return;
    }
    arm_expiry(u);
    rl_timer_arm(u->timer, PROXY_REQUEST_MS);
    read_request(u);
}
