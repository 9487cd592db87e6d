/* connection: from the handshake to the end. */
#include "rpc/h2/h2.h"

#include "clock/clock.h"
#include "rpc/h2/window.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The clock may be set meanwhile: a far expiry is looked at again this often. */
#define EXPIRY_LOOK_S 3600
/* Before the certificate ends: time to move calls elsewhere. */
#define EXPIRY_GRACE_S 10

static int64_t wall_now(void *context)
{
    (void)context;
    return rl_clock_wall_s();
}

void rl_h2_config_set_defaults(struct rl_h2_config *config)
{
    if (config->stream_window_bytes == 0)
        config->stream_window_bytes = RL_H2_STREAM_WINDOW_BYTES;
    if (config->connection_window_bytes == 0)
        config->connection_window_bytes = RL_H2_CONNECTION_WINDOW_BYTES;
    if (config->keepalive_ms == 0)
        config->keepalive_ms = RL_RPC_KEEPALIVE_MS;
    if (config->keepalive_timeout_ms == 0)
        config->keepalive_timeout_ms = RL_RPC_KEEPALIVE_TIMEOUT_MS;
    if (!config->now_s)
        config->now_s = wall_now;
}

/* ---- beginning ---- */

static void on_handshake_deadline(void *context)
{
    struct rl_h2_connection *c = context;
    rl_h2_connection_close(c, RL_E_DEADLINE, "the TLS handshake took too long");
}

static void destroy(struct rl_h2_connection *c)
{
    nghttp2_session_del(c->session);
    rl_h2_window_repay(c->borrowed);
    SSL_free(c->ssl);
    rl_rpc_remote_unref(&c->remote);
    free(c->address);
    free(c->via);
    free(c->kept);
    free(c->leave_reason);
    free(c);
}

rl_code rl_h2_connection_create(const struct rl_h2_config *config, int fd, SSL *ssl,
                                const char *address, uint64_t timeout_ms,
                                struct rl_h2_connection **out, struct rl_error *err)
{
    struct rl_h2_connection *c = rl_alloc(sizeof *c);
    c->config = config;
    c->fd = fd;
    c->ssl = ssl;
    c->address = rl_strdup(address);
    c->heard_ms = rl_loop_now_ms(config->loop);
    rl_code rc = rl_h2_io_start(c, err);
    if (rc != RL_OK) {
        rl_h2_io_stop(c);
        destroy(c);
        return rc;
    }
    c->alive = rl_timer_create(config->loop, on_handshake_deadline, c);
    rl_timer_arm(c->alive, timeout_ms);
    *out = c;
    return RL_OK;
}

static void on_expiry(void *context);

/* Sleeps until the certificate is nearly over, or for as long as the clock can be trusted. */
static void watch_expiry(struct rl_h2_connection *c)
{
    const struct rl_identity *identity = c->remote->identity;
    if (!identity || c->is_leaving)
        return;
    int64_t left_s = identity->not_after_s - c->config->now_s(c->config->now_context);
    if (left_s <= EXPIRY_GRACE_S) {
        rl_h2_connection_leave(c, left_s > 0 ? (uint64_t)left_s * 1000 : 0,
                               "its certificate expired");
        return;
    }
    int64_t wait_s = left_s - EXPIRY_GRACE_S;
    if (!c->expiry)
        c->expiry = rl_timer_create(c->config->loop, on_expiry, c);
    rl_timer_arm(c->expiry, (uint64_t)(wait_s < EXPIRY_LOOK_S ? wait_s : EXPIRY_LOOK_S) * 1000);
}

static void on_expiry(void *context)
{
    struct rl_h2_connection *c = context;
    if (c->is_leaving) {
        char *reason = rl_strdup(c->leave_reason);
        rl_h2_connection_finish(c, reason);
        free(reason);
    } else {
        watch_expiry(c);
    }
}

static bool has_chosen_h2(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl, &name, &length);
    return length == 2 && memcmp(name, "h2", 2) == 0;
}

static void open_session(struct rl_h2_connection *c)
{
    struct rl_identity *identity = NULL;
    struct rl_error err;
    if (!has_chosen_h2(c->ssl)) {
        rl_h2_connection_close(c, RL_E_UNAVAILABLE, "the other side does not speak HTTP/2 (ALPN)");
        return;
    }
    rl_code rc = rl_tls_peer(c->ssl, &identity, &err);
    if (rc == RL_OK) {
        c->remote = rl_rpc_remote_create(identity, c->address);
        rl_rpc_remote_set_via(c->remote, c->via);
        rc = rl_h2_session_start(c, &err);
    }
    if (rc != RL_OK) {
        rl_h2_connection_close(c, rc, err.message);
        return;
    }
    rl_tls_gather(c->ssl);
    rl_h2_keepalive_start(c);
    c->must_read_on = true;
    rl_h2_connection_wake(c);
    c->config->opened(c->config->owner, c);
    if (!c->is_closed)
        watch_expiry(c);
}

void rl_h2_connection_advance(struct rl_h2_connection *c)
{
    struct rl_error err;
    enum rl_tls_progress progress = rl_tls_handshake(c->ssl, &err);
    c->read_wants_write = progress == RL_TLS_WANT_WRITE;
    if (progress == RL_TLS_DONE) {
        open_session(c);
    } else if (progress == RL_TLS_FAILED) {
        c->is_tls_broken = true;
        rl_h2_connection_close(c, err.code, err.message);
    }
}

/* ---- what may happen inside a callback ---- */

void rl_h2_connection_enter(struct rl_h2_connection *c)
{
    c->depth++;
}

bool rl_h2_connection_exit(struct rl_h2_connection *c)
{
    c->depth--;
    if (!c->is_closed)
        return true;
    if (c->depth == 0)
        destroy(c);
    return false;
}

void rl_h2_connection_wake(struct rl_h2_connection *c)
{
    if (!c->is_closed)
        rl_task_schedule(c->turn);
}

/* ---- the end ---- */

void rl_h2_connection_close(struct rl_h2_connection *c, rl_code code, const char *reason)
{
    if (c->is_closed)
        return;
    c->is_closed = true;
    rl_timer_free(&c->alive);
    rl_timer_free(&c->expiry);
    rl_h2_io_stop(c);
    rl_h2_connection_enter(c);
    /* nghttp2_session_del() tells nobody about the streams that were open. */
    while (c->streams)
        rl_h2_stream_lost(c->streams, code, reason);
    c->config->closed(c->config->owner, c, code, reason);
    rl_h2_connection_exit(c);
}

static void set_leave_reason(struct rl_h2_connection *c, const char *reason)
{
    char *copy = rl_strdup(reason);
    free(c->leave_reason);
    c->leave_reason = copy;
}

void rl_h2_connection_finish(struct rl_h2_connection *c, const char *reason)
{
    if (c->is_closed || c->is_finishing)
        return;
    set_leave_reason(c, reason);
    c->is_finishing = true;
    if (c->session)
        nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                              (const uint8_t *)reason, strlen(reason));
    rl_h2_connection_wake(c);
}

void rl_h2_connection_leave(struct rl_h2_connection *c, uint64_t grace_ms, const char *reason)
{
    if (c->is_closed || c->is_leaving)
        return;
    if (!c->session || grace_ms == 0) {
        rl_h2_connection_finish(c, reason);
        return;
    }
    c->is_leaving = true;
    set_leave_reason(c, reason);
    if (c->config->server) {
        nghttp2_submit_shutdown_notice(c->session);
        /* Its answer says that calls which were on their way have come: session.c closes the door.
         */
        rl_h2_keepalive_ping(c, c->config->keepalive_timeout_ms);
        c->leave_ping_us = c->ping_us;
    } else {
        c->is_leaving_for_good = true;
        c->config->leaving(c->config->owner, c, reason);
        if (c->is_closed)
            return;
    }
    if (!c->expiry)
        c->expiry = rl_timer_create(c->config->loop, on_expiry, c);
    rl_timer_arm(c->expiry, grace_ms);
    rl_h2_connection_wake(c);
}
