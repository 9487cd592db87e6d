/* session: a session channel's requests, carried to the monitor. */
#include "internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_size(struct terminal *terminal, int columns, int rows, int width, int height)
{
    terminal->columns = (uint32_t)columns;
    terminal->rows = (uint32_t)rows;
    terminal->width = (uint32_t)width;
    terminal->height = (uint32_t)height;
}

static void put_size(struct rl_buf *out, const struct terminal *terminal)
{
    rl_buf_put_u32(out, terminal->columns);
    rl_buf_put_u32(out, terminal->rows);
    rl_buf_put_u32(out, terminal->width);
    rl_buf_put_u32(out, terminal->height);
}

static int on_pty(ssh_session session, ssh_channel ssh, const char *term, int columns, int rows,
                  int width, int height, void *ctx)
{
    (void)session;
    (void)ssh;
    struct channel *c = ctx;
    if (!c->transport->permits_pty || c->has_started || strlen(term) >= TERM_BYTES_MAX)
        return SSH_ERROR;
    c->terminal.is_wanted = true;
    snprintf(c->terminal.term, sizeof c->terminal.term, "%s", term);
    set_size(&c->terminal, columns, rows, width, height);
    struct rl_span modes = rl_openssh_modes();
    c->terminal.modes_n = modes.n <= MODES_BYTES_MAX ? modes.n : 0;
    if (c->terminal.modes_n)
        memcpy(c->terminal.modes, modes.p, modes.n);
    return SSH_OK;
}

static int on_window(ssh_session session, ssh_channel ssh, int columns, int rows, int width,
                     int height, void *ctx)
{
    (void)session;
    (void)ssh;
    struct channel *c = ctx;
    set_size(&c->terminal, columns, rows, width, height);
    if (!c->has_started || !c->terminal.is_wanted)
        return SSH_OK;
    struct rl_wire_message *m = &c->transport->message;
    rl_wire_begin(m, RL_WIRE_WINDOW);
    rl_buf_put_u32(&m->body, c->id);
    put_size(&m->body, &c->terminal);
    rl_monitor_ask(c->transport);
    return SSH_OK;
}

/* Which of them the session gets is the monitor's to choose. */
static int on_environment(ssh_session session, ssh_channel ssh, const char *name, const char *value,
                          void *ctx)
{
    (void)session;
    (void)ssh;
    struct channel *c = ctx;
    size_t n = strlen(name) + 1 + strlen(value) + 1;
    if (n > ENVIRONMENT_BYTES_MAX - c->environment.n)
        return 1;
    rl_buf_printf(&c->environment, "%s=%s", name, value);
    rl_buf_put_u8(&c->environment, 0);
    return 0;
}

static void on_signal(ssh_session session, ssh_channel ssh, const char *name, void *ctx)
{
    (void)session;
    (void)ssh;
    struct channel *c = ctx;
    if (!c->has_started)
        return;
    struct rl_wire_message *m = &c->transport->message;
    rl_wire_begin(m, RL_WIRE_SIGNAL);
    rl_buf_put_u32(&m->body, c->id);
    rl_buf_put_string(&m->body, rl_span_of(name));
    rl_monitor_ask(c->transport);
}

/* Whether the session gets one is the monitor's to say; OpenSSH asks for no answer here. */
static void on_agent(ssh_session session, ssh_channel ssh, void *ctx)
{
    (void)session;
    (void)ssh;
    struct channel *c = ctx;
    c->wants_agent = true;
}

static void put_start(struct channel *c, enum rl_sshd_kind kind, const char *command)
{
    struct rl_wire_message *m = &c->transport->message;
    rl_wire_begin(m, RL_WIRE_START);
    rl_buf_put_u32(&m->body, c->id);
    rl_buf_put_u32(&m->body, kind);
    rl_buf_put_string(&m->body, rl_span_of(command));
    rl_buf_put_u8(&m->body, c->terminal.is_wanted);
    rl_buf_put_string(&m->body, rl_span_of(c->terminal.term));
    put_size(&m->body, &c->terminal);
    rl_buf_put_string(&m->body, RL_SPAN(c->terminal.modes, c->terminal.modes_n));
    rl_buf_put_string(&m->body, rl_buf_span(&c->environment));
    rl_buf_put_u8(&m->body, c->wants_agent);
}

#define EXIT_REFUSED 255 /* what ssh says of itself when it fails */

/* A refused request would end the client before it has shown why. So it becomes a session that
 * says the reason on its stderr and exits. */
static int refused(struct channel *c)
{
    char text[RL_SSHD_MESSAGE_BYTES_MAX];
    struct part *part = &c->to_client[ERR];
    struct rl_cursor fields = rl_wire_fields(&c->transport->message);
    rl_wire_text(&fields, text, sizeof text);
    part->at = 0;
    part->n = (size_t)snprintf((char *)part->bytes, sizeof part->bytes, "%s\r\n",
                               *text ? text : "this node refused the session");
    c->has_exited = true;
    c->exit_code = EXIT_REFUSED;
    return SSH_OK;
}

/* One socket for a terminal; for the rest a descriptor each. */
static void take_fds(struct channel *c, struct rl_wire_message *m)
{
    c->sink = m->fds[0];
    c->sources[OUT] = m->fds_n == 1 ? fcntl(m->fds[0], F_DUPFD_CLOEXEC, 0) : m->fds[1];
    c->sources[ERR] = m->fds_n == 1 ? -1 : m->fds[2];
    fcntl(c->sink, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < SOURCES; i++)
        if (c->sources[i] >= 0)
            fcntl(c->sources[i], F_SETFL, O_NONBLOCK);
    m->fds_n = 0;
}

static int start(struct channel *c, enum rl_sshd_kind kind, const char *command)
{
    if (c->has_started)
        return SSH_ERROR;
    struct transport *t = c->transport;
    c->id = t->next_id++;
    put_start(c, kind, command);
    c->has_started = true; /* an exit can come right behind the answer */
    if (rl_monitor_ask(t) != RL_WIRE_YES)
        return refused(c);
    if (t->message.fds_n != 1 && t->message.fds_n != 3) {
        rl_wire_close_fds(&t->message);
        return refused(c);
    }
    take_fds(c, &t->message);
    return SSH_OK;
}

static int on_shell(ssh_session session, ssh_channel ssh, void *ctx)
{
    (void)session;
    (void)ssh;
    return start(ctx, RL_SSHD_SHELL, "");
}

static int on_exec(ssh_session session, ssh_channel ssh, const char *command, void *ctx)
{
    (void)session;
    (void)ssh;
    return start(ctx, RL_SSHD_EXEC, command);
}

static int on_subsystem(ssh_session session, ssh_channel ssh, const char *name, void *ctx)
{
    (void)session;
    (void)ssh;
    return start(ctx, RL_SSHD_SUBSYSTEM, name);
}

ssh_channel rl_session_open(ssh_session session, void *ctx)
{
    struct transport *t = ctx;
    if (!rl_shim_is_authenticated() || t->is_ending)
        return NULL;
    struct channel *c = rl_channel_create(t);
    if (!c)
        return NULL;
    c->ssh = ssh_channel_new(session);
    set_size(&c->terminal, 80, 24, 0, 0);
    c->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = c,
        .channel_pty_request_function = on_pty,
        .channel_pty_window_change_function = on_window,
        .channel_env_request_function = on_environment,
        .channel_shell_request_function = on_shell,
        .channel_exec_request_function = on_exec,
        .channel_subsystem_request_function = on_subsystem,
        .channel_signal_function = on_signal,
        .channel_auth_agent_req_function = on_agent,
    };
    ssh_callbacks_init(&c->callbacks);
    ssh_set_channel_callbacks(c->ssh, &c->callbacks);
    return c->ssh;
}

static const char *signal_name(uint32_t number)
{
    const char *name = number && number < NSIG ? sigabbrev_np((int)number) : NULL;
    return name ? name : "TERM";
}

void rl_session_finish(struct channel *c)
{
    ssh_channel_send_eof(c->ssh);
    if (c->exit_signal)
        ssh_channel_request_send_exit_signal(c->ssh, signal_name(c->exit_signal), 0, "", "");
    else
        ssh_channel_request_send_exit_status(c->ssh, (int)c->exit_code);
    ssh_channel_close(c->ssh);
}
