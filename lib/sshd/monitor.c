/* monitor: becomes the monitor of one connection, starts its transport, and runs until it ends. */
#include "monitor.h"

#include "bytes/secret.h"
#include "clock/clock.h"
#include "names/names.h"
#include "sshd/confine.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOGIN_GRACE_S 60
#define END_MS 2000 /* for the transport to tell the user, and for sessions to end */
#define REAP_MS 500
#define SEND_S_MAX 2 /* a transport that takes no messages must not hold the monitor up */
#define POLL_MS_MAX 60000
/* Between looks at a certificate that ends its session: poll() does not count what a machine
 * sleeps, the certificate does. */
#define EXPIRY_MS 1000
#define CONTROL_END 1 /* the only kind of message from the agent */

uint64_t rl_monitor_now_ms(void)
{
    return rl_clock_boot_ms();
}

int64_t rl_monitor_wall_s(const struct monitor *m)
{
    return m->config->now_s ? m->config->now_s(m->config->ctx) : rl_clock_wall_s();
}

void rl_monitor_event(struct monitor *m, struct rl_sshd_event *event)
{
    static const char none[] = "";
    event->session_id = m->grant.session_id;
    event->peer_address = m->peer;
    const char **texts[] = {&event->login,     &event->command,   &event->signal,
                            &event->host,      &event->direction, &event->reason,
                            &event->operation, &event->path,      &event->target};
    if (!event->login)
        event->login = m->login;
    for (size_t i = 0; i < RL_COUNT(texts); i++)
        if (!*texts[i])
            *texts[i] = none;
    if (m->config->event)
        m->config->event(m->config->ctx, event);
}

void rl_monitor_send(struct monitor *m)
{
    if (m->wire < 0 || rl_wire_send(m->wire, &m->out))
        return;
    if (errno == EAGAIN)
        rl_monitor_refuse(m, "the transport takes no messages");
    /* Else it is gone: the socket says so to who reads it. */
}

void rl_monitor_answer_no(struct monitor *m, const char *text)
{
    rl_wire_begin(&m->out, RL_WIRE_NO);
    rl_buf_put_string(&m->out.body, rl_span_of(text));
}

/* ---- the end ---- */

static void set_reason(struct monitor *m, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void set_reason(struct monitor *m, const char *format, va_list args)
{
    char text[MONITOR_REASON_BYTES];
    vsnprintf(text, sizeof text, format, args);
    char *printable = rl_name_printable(text);
    snprintf(m->reason, sizeof m->reason, "%s", printable);
    free(printable);
}

void rl_monitor_refuse(struct monitor *m, const char *format, ...)
{
    if (m->transport > 0)
        kill(m->transport, SIGKILL);
    if (m->end == END_LIE)
        return;
    m->end = END_LIE;
    m->end_deadline_ms = rl_monitor_now_ms();
    va_list args;
    va_start(args, format);
    set_reason(m, format, args);
    va_end(args);
}

void rl_monitor_end(struct monitor *m, enum monitor_end how, const char *format, ...)
{
    if (m->end != END_NOT)
        return;
    m->end = how;
    m->end_deadline_ms = rl_monitor_now_ms() + END_MS;
    va_list args;
    va_start(args, format);
    set_reason(m, format, args);
    va_end(args);
    if (how == END_CLIENT)
        return;
    rl_wire_begin(&m->out, RL_WIRE_END);
    rl_buf_put_string(&m->out.body, rl_span_of(m->reason));
    rl_monitor_send(m);
}

/* ---- what happens ---- */

/* An honest one says why before it goes. */
static void transport_ended(struct monitor *m)
{
    close(m->wire);
    m->wire = -1;
    if (m->transport > 0) { /* not seen by read_signals() yet */
        kill(m->transport, SIGKILL);
        while (waitpid(m->transport, &m->transport_status, 0) < 0 && errno == EINTR)
            ;
        m->transport = 0;
    }
    int number = WIFSIGNALED(m->transport_status) ? WTERMSIG(m->transport_status) : 0;
    if (number && number != SIGKILL)
        rl_monitor_end(m, END_CLIENT, "the transport was ended by signal %s", sigabbrev_np(number));
    else
        rl_monitor_end(m, END_CLIENT, "the transport ended with status %d",
                       WEXITSTATUS(m->transport_status));
}

static void read_wire(struct monitor *m)
{
    switch (rl_wire_receive(m->wire, &m->in, MSG_DONTWAIT)) {
    case RL_WIRE_GOT:
        break;
    case RL_WIRE_NOTHING_YET:
        return;
    case RL_WIRE_BROKEN:
        rl_monitor_refuse(m, "an oversized message from the transport");
        return;
    case RL_WIRE_CLOSED_BY_PEER:
        transport_ended(m);
        return;
    }
    if (m->in.fds_n) {
        rl_wire_close_fds(&m->in);
        rl_monitor_refuse(m, "descriptors from the transport");
        return;
    }
    rl_request_dispatch(m);
}

static void read_control(struct monitor *m)
{
    char text[1 + RL_SSHD_MESSAGE_BYTES_MAX];
    ssize_t n = recv(m->control, text, sizeof text - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) { /* the agent is gone, perhaps for a newer one: sessions go on */
        close(m->control);
        m->control = -1;
        return;
    }
    text[n] = '\0';
    if (text[0] == CONTROL_END)
        rl_monitor_end(m, END_GRACEFULLY, "%s", text + 1);
}

static void read_signals(struct monitor *m)
{
    struct signalfd_siginfo info;
    while (read(m->signals, &info, sizeof info) > 0)
        ;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid != m->transport) {
            rl_session_reaped(m, pid, status);
            continue;
        }
        m->transport = 0;
        m->transport_status = status;
    }
}

static uint64_t grace_ms(const struct monitor *m)
{
    uint32_t s = m->config->login_grace_s;
    return 1000 * (uint64_t)(s ? s : LOGIN_GRACE_S);
}

/* Ends what has had its time; returns when to look again. */
static uint64_t check_times(struct monitor *m)
{
    uint64_t now = rl_monitor_now_ms();
    uint64_t next = now + POLL_MS_MAX;
    if (!m->is_authenticated) {
        uint64_t until = m->started_ms + grace_ms(m);
        if (now >= until)
            rl_monitor_end(m, END_LOGIN_TIME, "nobody logged in within %u s",
                           (unsigned)(grace_ms(m) / 1000));
        return until < next ? until : next;
    }
    uint64_t idle_ms = 1000 * (uint64_t)m->grant.client_idle_timeout_s;
    if (idle_ms && now >= m->active_ms + idle_ms)
        rl_monitor_end(m, END_GRACEFULLY, "nothing was typed for %u s",
                       m->grant.client_idle_timeout_s);
    if (idle_ms && m->active_ms + idle_ms < next)
        next = m->active_ms + idle_ms;
    int64_t left_s = m->grant.disconnect_at_s - rl_monitor_wall_s(m);
    if (m->grant.disconnect_at_s && left_s <= 0)
        rl_monitor_end(m, END_GRACEFULLY, "the certificate of this session has expired");
    if (m->grant.disconnect_at_s && now + EXPIRY_MS < next)
        next = now + EXPIRY_MS;
    return next;
}

static int timeout_ms(struct monitor *m, uint64_t next, uint32_t wait_ms)
{
    uint64_t now = rl_monitor_now_ms();
    uint64_t left = next > now ? next - now : 0;
    if (m->end != END_NOT)
        left = m->end_deadline_ms > now ? m->end_deadline_ms - now : 0;
    if (wait_ms && wait_ms < left)
        left = wait_ms;
    return left > POLL_MS_MAX ? POLL_MS_MAX : (int)left;
}

enum {
    WIRE,
    CONTROL,
    SIGNALS,
    FIRST_FORWARD,
    FIRST_COPYING = FIRST_FORWARD + RL_SSHD_FORWARDS_MAX,
    FIRST_LISTENER = FIRST_COPYING + RL_SSHD_SESSIONS_MAX,
    POLLED = FIRST_LISTENER + 2 * RL_SSHD_LISTENERS_MAX,
};

static void watch_listeners(struct monitor *m, struct pollfd *p)
{
    /* Those who connect wait while there is no room for another connection. */
    bool has_room = rl_forward_free_slot(m) != NULL;
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++)
        for (size_t which = 0; which < 2; which++) {
            const struct listener *l = &m->listeners[i];
            p[2 * i + which] =
                (struct pollfd){has_room && l->is_used ? l->fds[which] : -1, POLLIN, 0};
        }
}

static void watch_all(struct monitor *m, struct pollfd p[POLLED], bool reads_wire,
                      uint64_t *next_ms)
{
    p[WIRE] = (struct pollfd){reads_wire ? m->wire : -1, POLLIN, 0};
    p[CONTROL] = (struct pollfd){m->control, POLLIN, 0};
    p[SIGNALS] = (struct pollfd){m->signals, POLLIN, 0};
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        p[FIRST_FORWARD + i] =
            (struct pollfd){m->forwards[i].is_used ? m->forwards[i].fd : -1, POLLIN, 0};
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        p[FIRST_COPYING + i] = (struct pollfd){rl_copying_fd(&m->sessions[i], next_ms), POLLIN, 0};
    watch_listeners(m, p + FIRST_LISTENER);
}

/* Those that are there, and no empty places: poll() refuses more entries than the process may have
 * descriptors, even when most of them are -1. */
static int poll_open(struct pollfd p[POLLED], int wait_ms)
{
    struct pollfd open[POLLED];
    size_t at[POLLED] = {0}, n = 0;
    for (size_t i = 0; i < POLLED; i++)
        if (p[i].fd >= 0) {
            open[n] = p[i];
            at[n++] = i;
        }
    int ready = poll(open, n, wait_ms);
    for (size_t i = 0; ready >= 0 && i < n; i++)
        p[at[i]].revents = open[i].revents;
    return ready;
}

static void wait_and_read(struct monitor *m, uint64_t next)
{
    struct pollfd p[POLLED];
    uint32_t wait_ms = rl_request_wait_ms(m);
    watch_all(m, p, wait_ms == 0, &next);
    if (poll_open(p, timeout_ms(m, next, wait_ms)) < 0)
        return;
    /* What an SFTP server said before it ended, then the leaders' ends: a request to start may be
     * about to need the room. */
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        if (p[FIRST_COPYING + i].revents)
            rl_copying_ready(m, &m->sessions[i]);
    if (p[SIGNALS].revents)
        read_signals(m);
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        if (p[FIRST_FORWARD + i].revents)
            rl_forward_ready(m, i);
    for (size_t i = 0; i < 2 * RL_SSHD_LISTENERS_MAX; i++)
        if (p[FIRST_LISTENER + i].revents)
            rl_listener_ready(m, i / 2, i % 2);
    if (p[CONTROL].revents)
        read_control(m);
    if (p[WIRE].revents)
        read_wire(m);
}

/* Until the end was said and the rooms are empty, or its time is up. */
static bool is_over(const struct monitor *m)
{
    if (m->end == END_NOT)
        return false;
    bool is_empty = m->wire < 0 && !rl_session_any_alive(m);
    return is_empty || rl_monitor_now_ms() >= m->end_deadline_ms;
}

static void run(struct monitor *m)
{
    bool was_told = false;
    while (!is_over(m)) {
        uint64_t next = check_times(m);
        if (m->end != END_NOT && !was_told) {
            was_told = true;
            rl_session_kill_all(m, SIGHUP);
        }
        wait_and_read(m, next);
    }
}

/* ---- the beginning ---- */

static rl_code check_config(const struct rl_sshd_config *c, struct rl_error *err)
{
    if (!c->host_key || EVP_PKEY_get_base_id(c->host_key) != EVP_PKEY_ED25519 || !c->host_public.n)
        return rl_fail(err, RL_E_INVAL, "the SSH server needs an Ed25519 host key");
    if (!c->authorize)
        return rl_fail(err, RL_E_INVAL, "the SSH server needs somebody who decides");
    if (c->sessions_max > RL_SSHD_SESSIONS_MAX)
        return rl_fail(err, RL_E_INVAL, "at most %d sessions on a connection",
                       RL_SSHD_SESSIONS_MAX);
    if (geteuid() != 0)
        return RL_OK;
    struct stat st;
    if (!c->empty_dir || c->room_uid_base == 0 || c->room_uid_count == 0)
        return rl_fail(err, RL_E_INVAL,
                       "as root the transport needs an empty directory and a "
                       "range of user ids");
    if (stat(c->empty_dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != 0 ||
        (st.st_mode & 022))
        return rl_fail(err, RL_E_INVAL, "%s is not a directory of root's that only root writes to",
                       c->empty_dir);
    return RL_OK;
}

static rl_code open_signals(struct monitor *m, struct rl_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "blocking SIGCHLD");
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals >= 0 ? RL_OK : rl_fail_errno(err, RL_E_INTERNAL, "signalfd");
}

static rl_code start_transport(struct monitor *m, int connection_fd, struct rl_error *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "socketpair");
    int room = 2 * RL_WIRE_BYTES_MAX;
    for (int i = 0; i < 2; i++)
        setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    struct timeval patience = {.tv_sec = SEND_S_MAX};
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    m->transport =
        rl_room_start(m, RL_SSHD_TRANSPORT_NAME, (int[]){connection_fd, pair[1]}, 2, NULL);
    close(pair[1]);
    m->wire = pair[0];
    if (m->transport < 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "starting the transport");
    rl_wire_begin(&m->out, RL_WIRE_HELLO);
    rl_buf_put_string(&m->out.body, m->config->host_public);
    rl_buf_put_string(&m->out.body, m->config->host_certificate);
    rl_buf_put_string(&m->out.body, RL_SPAN(m->cookie, sizeof m->cookie));
    if (!rl_wire_send(m->wire, &m->out))
        return rl_fail(err, RL_E_INTERNAL, "the transport did not start");
    return RL_OK;
}

static void init(struct monitor *m, const struct rl_sshd_config *config, const char *peer)
{
    m->config = config;
    m->wire = m->control = m->signals = -1;
    m->is_root = geteuid() == 0;
    m->started_ms = m->active_ms = rl_monitor_now_ms();
    snprintf(m->peer, sizeof m->peer, "%s", peer);
    rl_wire_init(&m->in);
    rl_wire_init(&m->out);
    rl_buf_init(&m->certificate_blob, RL_SSHCERT_BYTES_MAX);
    rl_random(m->cookie, sizeof m->cookie);
    for (size_t i = 0; i < RL_SSHD_FORWARDS_MAX; i++)
        m->forwards[i].fd = -1;
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        m->sessions[i].relay_fd = m->sessions[i].copying.fd = -1;
    for (size_t i = 0; i < RL_SSHD_LISTENERS_MAX; i++)
        m->listeners[i] = (struct listener){.fds = {-1, -1}, .room_fd = -1};
}

/* What was killed is gone in a moment; how it ended is to be written down. */
static void reap_killed(struct monitor *m)
{
    uint64_t until = rl_monitor_now_ms() + REAP_MS;
    while (rl_session_any_alive(m) && rl_monitor_now_ms() < until) {
        struct pollfd p = {m->signals, POLLIN, 0};
        poll(&p, 1, REAP_MS);
        read_signals(m);
    }
}

static void close_rooms(struct monitor *m)
{
    if (m->transport > 0)
        kill(m->transport, SIGKILL);
    /* A user who merely went away leaves what ignores SIGHUP running, as behind any SSH server. */
    if (m->end != END_CLIENT) {
        rl_session_kill_all(m, SIGKILL);
        reap_killed(m);
    }
    rl_listener_close_all(m);
    rl_forward_close_all(m);
    rl_session_end_all(m);
    struct rl_sshd_event event = {.type = RL_SSHD_CLIENT_DISCONNECT,
                                  .reason = m->reason,
                                  .outcome = m->end == END_LIE ? RL_SSHD_DENIED : RL_SSHD_SUCCESS,
                                  .duration_ms = rl_monitor_now_ms() - m->started_ms};
    rl_monitor_event(m, &event);
}

static void fini(struct monitor *m)
{
    int *const fds[] = {&m->wire, &m->control, &m->signals};
    for (size_t i = 0; i < RL_COUNT(fds); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    rl_wire_fini(&m->in);
    rl_wire_fini(&m->out);
    rl_buf_fini(&m->certificate_blob);
    rl_wipe(m->ssh_session_id, sizeof m->ssh_session_id);
}

static rl_code result(const struct monitor *m, struct rl_error *err)
{
    switch (m->end) {
    case END_LIE:
        return rl_fail(err, RL_E_DENIED, "refused, connection ended: %s", m->reason);
    case END_LOGIN_TIME:
        return rl_fail(err, RL_E_DEADLINE, "%s", m->reason);
    default:
        return RL_OK;
    }
}

rl_code rl_sshd_serve(const struct rl_sshd_config *config, int connection_fd, int control_fd,
                      const char *peer_address, struct rl_error *err)
{
    struct monitor *m = rl_alloc(sizeof *m);
    init(m, config, peer_address);
    m->control = control_fd;
    prctl(PR_SET_DUMPABLE, 0);
    rl_code rc = check_config(config, err);
    if (rc == RL_OK)
        rc = open_signals(m, err);
    if (rc == RL_OK)
        rc = start_transport(m, connection_fd, err);
    close(connection_fd);
    if (rc == RL_OK) {
        run(m);
        close_rooms(m);
        rc = result(m, err);
    }
    fini(m);
    free(m);
    return rc;
}

rl_code rl_sshd_control_end(int control_fd, const char *message, struct rl_error *err)
{
    char text[1 + RL_SSHD_MESSAGE_BYTES_MAX];
    text[0] = CONTROL_END;
    snprintf(text + 1, sizeof text - 1, "%s", message);
    if (send(control_fd, text, 1 + strlen(text + 1), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return rl_fail_errno(err, RL_E_UNAVAILABLE, "telling an SSH session to end");
    return RL_OK;
}
