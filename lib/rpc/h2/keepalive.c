/* keepalive: is the other side still there? A PING after silence; anything heard is an answer. The
 * same PINGs measure the round trip. One timer for each connection, which is only looked at when it
 * fires: traffic moves no timer.
 */
#include "rpc/h2/h2.h"

#include <string.h>
#include <time.h>

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_alive(void *context)
{
    struct rl_h2_connection *c = context;
    uint64_t now = rl_loop_now_ms(c->config->loop);
    if (c->is_awaiting_pong) {
        char text[96];
        snprintf(text, sizeof text, "nothing was heard from the other side for %llu ms",
                 (unsigned long long)(now - c->heard_ms));
        c->is_tls_broken = true; /* nobody hears a close_notify */
        rl_h2_connection_close(c, RL_E_UNAVAILABLE, text);
        return;
    }
    uint64_t silent_ms = now - c->heard_ms;
    if (silent_ms >= c->config->keepalive_ms)
        rl_h2_keepalive_ping(c, c->config->keepalive_timeout_ms);
    else
        rl_timer_arm(c->alive, c->config->keepalive_ms - silent_ms);
}

void rl_h2_keepalive_start(struct rl_h2_connection *c)
{
    rl_timer_free(&c->alive); /* the handshake's deadline */
    c->alive = rl_timer_create(c->config->loop, on_alive, c);
    rl_h2_keepalive_heard(c);
    rl_timer_arm(c->alive, c->config->keepalive_ms);
}

void rl_h2_keepalive_heard(struct rl_h2_connection *c)
{
    c->heard_ms = rl_loop_now_ms(c->config->loop);
    if (!c->is_awaiting_pong)
        return;
    c->is_awaiting_pong = false;
    rl_timer_arm(c->alive, c->config->keepalive_ms);
}

void rl_h2_keepalive_ping(struct rl_h2_connection *c, uint64_t timeout_ms)
{
    uint8_t opaque[8];
    c->ping_us = now_us();
    memcpy(opaque, &c->ping_us, sizeof opaque);
    if (nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, opaque) == 0)
        rl_h2_connection_wake(c);
    c->is_awaiting_pong = true;
    rl_timer_arm(c->alive, timeout_ms);
}

void rl_h2_keepalive_pong(struct rl_h2_connection *c, const uint8_t opaque[8])
{
    uint64_t sent_us;
    memcpy(&sent_us, opaque, sizeof sent_us);
    if (sent_us != c->ping_us)
        return;
    uint64_t rtt_us = now_us() - sent_us;
    if (c->least_rtt_us == 0 || rtt_us < c->least_rtt_us)
        c->least_rtt_us = rtt_us ? rtt_us : 1;
    rl_h2_round_end(c, sent_us, rtt_us);
}
