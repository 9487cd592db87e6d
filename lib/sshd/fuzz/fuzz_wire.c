/* A transport's messages, as the monitor reads them: no crash, whatever they are. One input is a
 * row of messages, each behind a 16-bit length; it is read twice, before a login and after one.
 * Nothing is started: no login is ever proven, and the one that is given has every place for a
 * session taken and may not forward. */
#include "sshd/monitor.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rl_code refuse(void *ctx, const struct rl_sshd_request *request, struct rl_sshd_grant *grant,
                      struct rl_error *err)
{
    (void)ctx;
    (void)request;
    (void)grant;
    return rl_fail(err, RL_E_DENIED, "nobody");
}

static void read_all(struct monitor *m, struct rl_cursor c)
{
    while (c.n && m->end == END_NOT) {
        struct rl_span one = rl_cursor_bytes(&c, rl_cursor_u16(&c));
        if (c.failed || one.n == 0)
            return;
        rl_buf_clear(&m->in.body);
        rl_buf_put_span(&m->in.body, one);
        rl_request_wait_ms(m);
        rl_request_dispatch(m);
    }
}

/* As after a login: whose sessions have ended and wait for their relays. */
static void log_in(struct monitor *m)
{
    m->is_authenticated = true;
    m->ssh_session_id_n = 32;
    m->grant.permit_pty = m->grant.file_copy = true;
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        m->sessions[i] = (struct session){.is_used = true,
                                          .channel = (uint32_t)i,
                                          .leader_is_gone = true,
                                          .relay = 1,
                                          .relay_fd = -1,
                                          .copying = {.fd = -1}};
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        m->forwards[i] =
            (struct forward){.is_used = true, .channel = (uint32_t)(1000 + i), .fd = -1};
}

static void read_as(struct rl_span input, bool is_logged_in)
{
    struct rl_sshd_config config = {.authorize = refuse, .host_public = rl_span_of("host key")};
    struct monitor *m = rl_alloc(sizeof *m);
    m->config = &config;
    m->wire = -1;
    rl_wire_init(&m->in);
    rl_wire_init(&m->out);
    rl_buf_init(&m->certificate_blob, RL_SSHCERT_BYTES_MAX);
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        m->forwards[i].fd = -1;
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++)
        m->listeners[i] = (struct listener){.fds = {-1, -1}, .room_fd = -1};
    if (is_logged_in)
        log_in(m);
    read_all(m, rl_cursor_of(input));
    rl_wire_fini(&m->in);
    rl_wire_fini(&m->out);
    rl_buf_fini(&m->certificate_blob);
    free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(RL_SPAN(data, size), false);
    read_as(RL_SPAN(data, size), true);
    return 0;
}
