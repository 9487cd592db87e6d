/* request: the table of what the transport may ask, and when; and the one thing that it may ask
 * at any time, a signature over a key exchange. */
#include "monitor.h"

#include <string.h>

/* Signatures: a client that renews keys each megabyte at full speed stays below. */
#define SIGN_TOKENS_MAX 512
#define SIGN_TOKENS_A_SECOND 32

enum when { BEFORE_LOGIN = 1, AFTER_LOGIN = 2, ANY_TIME = 3 };

/* ---- signatures ---- */

static void refill(struct monitor *m)
{
    uint64_t now = rl_monitor_now_ms();
    if (m->sign_filled_ms == 0) {
        m->sign_filled_ms = now;
        m->sign_tokens = SIGN_TOKENS_MAX;
    }
    uint64_t more = (now - m->sign_filled_ms) * SIGN_TOKENS_A_SECOND / 1000;
    if (more == 0)
        return;
    m->sign_filled_ms = now;
    m->sign_tokens =
        more < SIGN_TOKENS_MAX - m->sign_tokens ? m->sign_tokens + (uint32_t)more : SIGN_TOKENS_MAX;
}

/* An empty bucket slows the transport down and does not end it: it waits for its answers. */
uint32_t rl_request_wait_ms(struct monitor *m)
{
    refill(m);
    return m->sign_tokens ? 0 : 1000 / SIGN_TOKENS_A_SECOND + 1;
}

static enum verdict sign(struct monitor *m, struct rl_cursor *c)
{
    struct rl_span input = rl_cursor_string(c);
    bool is_first = m->ssh_session_id_n == 0;
    if (!rl_cursor_done(c)) {
        rl_monitor_refuse(m, "malformed request to sign");
        return SILENCE;
    }
    if (!is_first && !m->is_authenticated) {
        rl_monitor_refuse(m, "a second key exchange before the login");
        return SILENCE;
    }
    m->sign_tokens--;
    struct exchange_expected expected = {
        .host_public = m->config->host_public,
        .host_certificate = m->config->host_certificate,
        .cookie = is_first ? RL_SPAN(m->cookie, sizeof m->cookie) : RL_SPAN(NULL, 0),
    };
    uint8_t hash[EXCHANGE_HASH_BYTES_MAX];
    size_t hash_n = 0;
    struct rl_error err;
    struct rl_buf signature;
    rl_buf_init(&signature, RL_SSHKEY_SIGNATURE_BYTES_MAX);
    if (rl_exchange_hash(input, &expected, hash, &hash_n, &err) != RL_OK ||
        rl_sshkey_sign(m->config->host_key, RL_SPAN(hash, hash_n), &signature, &err) != RL_OK) {
        rl_monitor_refuse(m, "%s", err.message);
        return SILENCE;
    }
    if (is_first) {
        memcpy(m->ssh_session_id, hash, hash_n);
        m->ssh_session_id_n = hash_n;
    }
    rl_wire_begin(&m->out, RL_WIRE_YES);
    rl_buf_put_string(&m->out.body, rl_buf_span(&signature));
    rl_buf_fini(&signature);
    return ANSWER;
}

/* ---- notices ---- */

static enum verdict active(struct monitor *m, struct rl_cursor *c)
{
    if (!rl_cursor_done(c))
        rl_monitor_refuse(m, "malformed notice");
    m->active_ms = rl_monitor_now_ms();
    return SILENCE;
}

static enum verdict gone(struct monitor *m, struct rl_cursor *c)
{
    char text[MONITOR_REASON_BYTES];
    rl_wire_text(c, text, sizeof text);
    if (!rl_cursor_done(c))
        rl_monitor_refuse(m, "malformed notice");
    else
        rl_monitor_end(m, END_CLIENT, "the connection ended: %s", *text ? text : "closed");
    return SILENCE;
}

/* ---- the table ---- */

static const struct {
    enum rl_wire_type type;
    enum when when;
    enum verdict (*handle)(struct monitor *m, struct rl_cursor *c);
    const char *name;
} table[] = {
    {RL_WIRE_SIGN, ANY_TIME, sign, "sign"},
    {RL_WIRE_QUERY, BEFORE_LOGIN, rl_login_query, "query"},
    {RL_WIRE_VERIFY, BEFORE_LOGIN, rl_login_verify, "verify"},
    {RL_WIRE_START, AFTER_LOGIN, rl_session_start, "start"},
    {RL_WIRE_WINDOW, AFTER_LOGIN, rl_session_window, "window"},
    {RL_WIRE_SIGNAL, AFTER_LOGIN, rl_session_signal, "signal"},
    {RL_WIRE_FORWARD, AFTER_LOGIN, rl_forward_open, "forward"},
    {RL_WIRE_CLOSED, AFTER_LOGIN, rl_session_closed, "closed"},
    {RL_WIRE_ACTIVE, AFTER_LOGIN, active, "active"},
    {RL_WIRE_GONE, ANY_TIME, gone, "gone"},
    {RL_WIRE_LISTEN, AFTER_LOGIN, rl_listener_open, "listen"},
    {RL_WIRE_UNLISTEN, AFTER_LOGIN, rl_listener_close, "unlisten"},
};

/* What has ended begins nothing more: an honest transport may have asked just before it was told.
 */
static bool is_too_late(const struct monitor *m, uint8_t type)
{
    bool begins_something = type == RL_WIRE_QUERY || type == RL_WIRE_VERIFY ||
                            type == RL_WIRE_START || type == RL_WIRE_FORWARD ||
                            type == RL_WIRE_LISTEN;
    return m->end != END_NOT && begins_something;
}

static void answer(struct monitor *m)
{
    if (m->end != END_LIE)
        rl_monitor_send(m);
    rl_wire_close_fds(&m->out);
}

void rl_request_dispatch(struct monitor *m)
{
    uint8_t type = rl_wire_type(&m->in);
    enum when now = m->is_authenticated ? AFTER_LOGIN : BEFORE_LOGIN;
    if (is_too_late(m, type)) {
        rl_monitor_answer_no(m, "");
        answer(m);
        return;
    }
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        if (table[i].type != type)
            continue;
        if (!(table[i].when & now)) {
            rl_monitor_refuse(m, "\"%s\" is not asked now", table[i].name);
            return;
        }
        struct rl_cursor c = rl_wire_fields(&m->in);
        if (table[i].handle(m, &c) == ANSWER)
            answer(m);
        return;
    }
    rl_monitor_refuse(m, "unknown message %u from the transport", type);
}
