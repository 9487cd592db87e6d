/* session: starts sessions as the user, and follows them to their end.
 *
 * Without a terminal the leader's pipes go to the transport. A terminal stays with the relay, a
 * room of its own and the monitor's child: the transport gets one end of a socket. */
#include "monitor.h"

#include "sshd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS_MAX_DEFAULT 10
#define PIPE_BYTES (256 * 1024)
#define EXIT_UNKNOWN (-1)

/* A request to start, as it was read. */
struct start {
    uint32_t channel;
    enum rl_sshd_kind kind;
    char *command; /* heap */
    bool is_pty;
    char term[TERM_BYTES_MAX];
    struct winsize size;
    struct rl_span modes, environment;
    bool wants_agent;
};

/* ---- events ---- */

static const char *signal_name(int number)
{
    const char *name = number ? sigabbrev_np(number) : NULL;
    return name ? name : "";
}

static void tell_start(struct monitor *m, const struct start *s)
{
    struct rl_sshd_event event = {.type = RL_SSHD_SESSION_START,
                                  .channel = s->channel,
                                  .kind = s->kind,
                                  .command = s->command,
                                  .pty = s->is_pty,
                                  .columns = s->size.ws_col,
                                  .rows = s->size.ws_row};
    rl_monitor_event(m, &event);
    if (s->kind == RL_SSHD_SHELL)
        return;
    event.type = s->kind == RL_SSHD_EXEC ? RL_SSHD_SESSION_COMMAND : RL_SSHD_SFTP;
    event.operation = s->kind == RL_SSHD_EXEC ? "" : "start";
    rl_monitor_event(m, &event);
}

static void tell_end(struct monitor *m, const struct session *x)
{
    struct rl_sshd_event event = {.type = RL_SSHD_SESSION_END,
                                  .channel = x->channel,
                                  .kind = x->kind,
                                  .pty = x->is_pty,
                                  .exit_code = x->exit_code,
                                  .signal = signal_name(x->exit_signal),
                                  .bytes_in = x->bytes_in,
                                  .bytes_out = x->bytes_out,
                                  .duration_ms = rl_monitor_now_ms() - x->started_ms};
    if (m->end == END_GRACEFULLY) /* it did not end by itself */
        event.reason = m->reason;
    rl_monitor_event(m, &event);
}

static enum verdict reject(struct monitor *m, const struct start *s, const char *reason)
{
    struct rl_sshd_event event = {.type = RL_SSHD_SESSION_REJECTED,
                                  .outcome = RL_SSHD_DENIED,
                                  .channel = s->channel,
                                  .kind = s->kind,
                                  .command = s->command,
                                  .reason = reason};
    rl_monitor_event(m, &event);
    rl_monitor_answer_no(m, reason);
    return ANSWER;
}

/* ---- may it? ---- */

static struct session *free_slot(struct monitor *m)
{
    uint32_t max = m->config->sessions_max ? m->config->sessions_max : SESSIONS_MAX_DEFAULT;
    if (m->grant.max_sessions && m->grant.max_sessions < max)
        max = m->grant.max_sessions;
    uint32_t used = 0;
    struct session *slot = NULL;
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++) {
        used += m->sessions[i].is_used;
        if (!m->sessions[i].is_used && !slot)
            slot = &m->sessions[i];
    }
    return used < max ? slot : NULL;
}

/* Commands that do nothing but carry files. Whoever has a shell finds another way: this keeps
 * the honest on the path that the role offers. */
static bool is_file_copy(const struct start *s)
{
    static const char *const programs[] = {"scp", "sftp-server", "rsync"};
    if (s->kind == RL_SSHD_SUBSYSTEM)
        return strcmp(s->command, "sftp") == 0;
    const char *word = s->command + strspn(s->command, " ");
    size_t n = strcspn(word, " ");
    for (size_t i = n; i > 0; i--) {
        if (word[i - 1] != '/')
            continue;
        word += i;
        n -= i;
        break;
    }
    for (size_t i = 0; i < RL_COUNT(programs); i++)
        if (strlen(programs[i]) == n && memcmp(programs[i], word, n) == 0)
            return true;
    return false;
}

/* Our own server, which needs no program on the device; also by the name that sshd has for its own.
 */
static bool runs_sftp(const struct monitor *m, const struct start *s)
{
    if (m->certificate.has_force_command)
        return rl_span_is(m->certificate.force_command, "internal-sftp");
    return s->kind == RL_SSHD_SUBSYSTEM;
}

/* The old form of scp asks for a program of that name on this side. */
static bool needs_scp(const struct start *s)
{
    static const char *const places[] = {"/usr/bin/scp", "/bin/scp", "/usr/local/bin/scp"};
    if (s->kind != RL_SSHD_EXEC || strncmp(s->command, "scp ", 4) != 0)
        return false;
    for (size_t i = 0; i < RL_COUNT(places); i++)
        if (access(places[i], X_OK) == 0)
            return false;
    return true;
}

/* NULL, or why not. */
static const char *why_not(const struct monitor *m, const struct start *s)
{
    bool is_forced = m->certificate.has_force_command;
    if (s->is_pty && !m->grant.permit_pty)
        return "access denied: no terminal is allowed here";
    if (s->kind == RL_SSHD_SUBSYSTEM && strcmp(s->command, "sftp") != 0)
        return "access denied: the only subsystem here is sftp";
    if (!is_forced && !m->grant.file_copy && is_file_copy(s))
        return "access denied: copying files is not allowed by your roles";
    /* Who is given no shell is given no files either: here no shell is asked. */
    if (runs_sftp(m, s) && rl_account_takes_no_sessions(&m->account))
        return "access denied: the shell of this login takes no sessions";
    if (!is_forced && needs_scp(s))
        return "this node has no scp program; use scp without -O: that needs none";
    return NULL;
}

/* ---- start ---- */

struct ends {
    int ours[3]; /* for the transport */
    int theirs[3];
    size_t ours_n;
    char tty[64];
};

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* stdin is a socket, as OpenSSH's sshd has it: bash asks that before it reads ~/.bashrc. */
static bool open_pipes(struct ends *e)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, error[2] = {-1, -1};
    bool ok = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) == 0 &&
              pipe2(out, O_CLOEXEC) == 0 && pipe2(error, O_CLOEXEC) == 0;
    if (!ok) {
        close_all(in, 2);
        close_all(out, 2);
        close_all(error, 2);
        return false;
    }
    fcntl(out[1], F_SETPIPE_SZ, PIPE_BYTES);
    *e = (struct ends){
        .ours = {in[0], out[0], error[0]}, .theirs = {in[1], out[1], error[1]}, .ours_n = 3};
    return true;
}

static void own_terminal(const struct monitor *m, int terminal)
{
    struct account_sources from = rl_account_system_sources();
    int64_t group = rl_account_group_id(&from, "tty");
    gid_t gid = group >= 0 ? (gid_t)group : m->account.gid;
    /* 0620: write(1) and the like go by the group tty; without one, nobody else. */
    if (fchown(terminal, m->account.uid, gid) != 0 ||
        fchmod(terminal, group >= 0 ? 0620 : 0600) != 0)
        return; /* not root: it is ours already */
}

static bool start_relay(struct monitor *m, struct session *x, int master, int stream)
{
    int control[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        return false;
    bool is_recorded = m->grant.record && m->config->recording_fd > 0;
    int fds[] = {master, stream, control[1], is_recorded ? m->config->recording_fd : -1};
    char *channel = rl_sprintf("%u", x->channel);
    x->relay = rl_room_start(m, RL_SSHD_RELAY_NAME, fds, is_recorded ? 4 : 3, channel);
    free(channel);
    close(control[1]);
    x->relay_fd = control[0];
    return x->relay > 0;
}

static bool open_terminal(struct monitor *m, struct session *x, const struct start *s,
                          struct ends *e)
{
    int master = -1, terminal = -1, stream[2] = {-1, -1};
    if (openpty(&master, &terminal, NULL, NULL, &s->size) != 0)
        return false;
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(terminal, F_SETFD, FD_CLOEXEC);
    rl_modes_apply(terminal, s->modes);
    bool ok = ttyname_r(terminal, e->tty, sizeof e->tty) == 0 &&
              socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) == 0;
    if (ok && m->is_root)
        own_terminal(m, terminal);
    ok = ok && start_relay(m, x, master, stream[0]);
    close(master);
    if (stream[0] >= 0)
        close(stream[0]);
    if (!ok) {
        close(terminal);
        if (stream[1] >= 0)
            close(stream[1]);
        return false;
    }
    e->ours[0] = stream[1];
    e->ours_n = 1;
    for (int i = 0; i < 3; i++)
        e->theirs[i] = terminal;
    return true;
}

static pid_t start_leader(struct monitor *m, const struct start *s, const struct ends *e,
                          int sftp_fd)
{
    struct spawn what = {
        .monitor = m,
        .command = s->kind == RL_SSHD_EXEC ? s->command : NULL,
        .sftp_fd = sftp_fd,
        .agent_path = s->wants_agent ? rl_listener_agent(m) : NULL,
        .term = s->is_pty ? s->term : NULL,
        .tty = s->is_pty ? e->tty : NULL,
        .environment = s->environment,
        .fds = {e->theirs[0], e->theirs[1], e->theirs[2]},
    };
    char *forced = NULL;
    if (m->certificate.has_force_command && sftp_fd < 0) {
        forced = rl_span_to_string(m->certificate.force_command);
        what.original_command = s->command;
        what.command = forced ? forced : "exit 1"; /* NUL inside: nothing that can be run */
    }
    pid_t pid = rl_spawn_session(&what);
    free(forced);
    return pid;
}

static bool open_ends(struct monitor *m, struct session *x, const struct start *s, struct ends *e)
{
    return s->is_pty ? open_terminal(m, x, s, e) : open_pipes(e);
}

/* The leader, with a line for its SFTP server to tell by where it is one. -1 on failure. */
static pid_t start_session(struct monitor *m, struct session *x, const struct start *s,
                           const struct ends *e)
{
    int pair[2] = {-1, -1};
    if (runs_sftp(m, s) && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    pid_t leader = start_leader(m, s, e, pair[1]);
    close_all(pair + 1, 1);
    if (leader < 0)
        close_all(pair, 1);
    else
        rl_copying_start(x, pair[0]);
    return leader;
}

static enum verdict start(struct monitor *m, const struct start *s)
{
    const char *reason = why_not(m, s);
    if (reason)
        return reject(m, s, reason);
    struct session *x = free_slot(m);
    if (!x)
        return reject(m, s, "too many sessions at once on this connection");
    struct rl_error err;
    if (m->config->start && m->config->start(m->config->ctx, &err) != RL_OK)
        return reject(m, s, err.message);
    struct ends e = {.ours_n = 0};
    *x = (struct session){.channel = s->channel,
                          .kind = s->kind,
                          .is_pty = s->is_pty,
                          .relay_fd = -1,
                          .copying = {.fd = -1},
                          .exit_code = EXIT_UNKNOWN,
                          .started_ms = rl_monitor_now_ms()};
    if (!open_ends(m, x, s, &e))
        return reject(m, s, "this node has no terminals or descriptors left");
    x->is_used = true; /* the relay, if there is one, is followed from here on */
    x->leader = start_session(m, x, s, &e);
    close_all(e.theirs, s->is_pty ? 1 : 3);
    if (x->leader < 0) {
        close_all(e.ours, e.ours_n);
        x->leader_is_gone = x->is_closed = true;
        if (!s->is_pty)
            x->is_used = false;
        return reject(m, s, "this node has no processes left");
    }
    tell_start(m, s);
    rl_wire_begin(&m->out, RL_WIRE_YES);
    memcpy(m->out.fds, e.ours, e.ours_n * sizeof *e.ours);
    m->out.fds_n = e.ours_n;
    return ANSWER;
}

static void read_size(struct rl_cursor *c, struct winsize *size)
{
    size->ws_col = (unsigned short)rl_cursor_u32(c);
    size->ws_row = (unsigned short)rl_cursor_u32(c);
    size->ws_xpixel = (unsigned short)rl_cursor_u32(c);
    size->ws_ypixel = (unsigned short)rl_cursor_u32(c);
}

enum verdict rl_session_start(struct monitor *m, struct rl_cursor *c)
{
    struct start s = {.command = NULL};
    s.channel = rl_cursor_u32(c);
    uint32_t kind = rl_cursor_u32(c);
    struct rl_span command = rl_cursor_string(c);
    s.is_pty = rl_cursor_u8(c) != 0;
    rl_wire_text(c, s.term, sizeof s.term);
    read_size(c, &s.size);
    s.modes = rl_cursor_string(c);
    s.environment = rl_cursor_string(c);
    uint8_t wants_agent = rl_cursor_u8(c);
    s.command = rl_span_to_string(command);
    enum verdict verdict = ANSWER;
    if (!rl_cursor_done(c) || kind > RL_SSHD_SUBSYSTEM || s.channel != m->next_channel ||
        !s.command || command.n > RL_SSHD_COMMAND_BYTES_MAX ||
        s.environment.n > ENVIRONMENT_BYTES_MAX || s.modes.n > MODES_BYTES_MAX || wants_agent > 1) {
        rl_monitor_refuse(m, "malformed request for a session");
    } else {
        m->next_channel++;
        s.kind = (enum rl_sshd_kind)kind;
        s.wants_agent = wants_agent;
        verdict = start(m, &s);
    }
    free(s.command);
    return verdict;
}

/* ---- while it runs ---- */

static struct session *find(struct monitor *m, uint32_t channel)
{
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        if (m->sessions[i].is_used && m->sessions[i].channel == channel)
            return &m->sessions[i];
    return NULL;
}

enum verdict rl_session_window(struct monitor *m, struct rl_cursor *c)
{
    struct session *x = find(m, rl_cursor_u32(c));
    struct winsize size;
    read_size(c, &size);
    if (!rl_cursor_done(c)) {
        rl_monitor_refuse(m, "malformed window size");
        return SILENCE;
    }
    rl_monitor_answer_no(m, "");
    /* A relay that does not keep up with sizes gets the next one. */
    if (!x || x->relay_fd < 0 ||
        send(x->relay_fd, &size, sizeof size, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof size)
        return ANSWER;
    struct rl_sshd_event event = {.type = RL_SSHD_SESSION_RESIZE,
                                  .channel = x->channel,
                                  .columns = size.ws_col,
                                  .rows = size.ws_row};
    rl_monitor_event(m, &event);
    rl_wire_begin(&m->out, RL_WIRE_YES);
    return ANSWER;
}

/* By a child under the user's id: what the user may not signal, the client may not either. */
static void signal_as_user(const struct monitor *m, pid_t leader, int number)
{
    if (fork() != 0)
        return;
    if (!m->is_root ||
        rl_confine_become(m->account.uid, m->account.gid, m->account.groups, m->account.groups_n))
        kill(-leader, number);
    _exit(0);
}

enum verdict rl_session_signal(struct monitor *m, struct rl_cursor *c)
{
    static const int numbers[] = {SIGABRT, SIGALRM, SIGFPE,  SIGHUP,  SIGILL,  SIGINT, SIGKILL,
                                  SIGPIPE, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1, SIGUSR2};
    struct session *x = find(m, rl_cursor_u32(c));
    char name[16];
    rl_wire_text(c, name, sizeof name);
    if (!rl_cursor_done(c)) {
        rl_monitor_refuse(m, "malformed signal");
        return SILENCE;
    }
    rl_monitor_answer_no(m, "");
    for (size_t i = 0; x && !x->leader_is_gone && i < RL_COUNT(numbers); i++) {
        if (strcmp(signal_name(numbers[i]), name) != 0)
            continue;
        signal_as_user(m, x->leader, numbers[i]);
        rl_wire_begin(&m->out, RL_WIRE_YES);
    }
    return ANSWER;
}

/* ---- the end ---- */

/* What the relay counted, said as it went. */
static void read_relay(struct session *x)
{
    uint64_t counts[2];
    if (x->relay_fd >= 0 &&
        recv(x->relay_fd, counts, sizeof counts, MSG_DONTWAIT) == sizeof counts) {
        x->bytes_in = counts[0];
        x->bytes_out = counts[1];
    }
}

static void close_relay_fd(struct session *x)
{
    if (x->relay_fd >= 0)
        close(x->relay_fd);
    x->relay_fd = -1;
}

static void end_if_done(struct monitor *m, struct session *x)
{
    if (!x->is_used || !x->leader_is_gone || x->relay > 0 || !(x->is_closed || x->is_pty))
        return;
    close_relay_fd(x);
    rl_copying_end(m, x);
    if (x->leader > 0)
        tell_end(m, x);
    x->is_used = false;
}

static void leader_ended(struct monitor *m, struct session *x, int status)
{
    x->leader_is_gone = true;
    x->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_UNKNOWN;
    x->exit_signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (x->relay_fd >= 0)
        shutdown(x->relay_fd, SHUT_WR); /* carry what is there, then end */
    rl_wire_begin(&m->out, RL_WIRE_EXIT);
    rl_buf_put_u32(&m->out.body, x->channel);
    rl_buf_put_u32(&m->out.body, x->exit_signal ? 0 : (uint32_t)x->exit_code);
    rl_buf_put_u32(&m->out.body, (uint32_t)x->exit_signal);
    rl_monitor_send(m);
}

bool rl_session_reaped(struct monitor *m, pid_t pid, int status)
{
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++) {
        struct session *x = &m->sessions[i];
        if (!x->is_used || (pid != x->leader && pid != x->relay))
            continue;
        if (pid == x->relay) {
            read_relay(x);
            x->relay = 0;
        } else if (!x->leader_is_gone) {
            leader_ended(m, x, status);
        }
        end_if_done(m, x);
        return true;
    }
    return false;
}

enum verdict rl_session_closed(struct monitor *m, struct rl_cursor *c)
{
    uint32_t channel = rl_cursor_u32(c);
    uint64_t in = rl_cursor_u64(c);
    uint64_t out = rl_cursor_u64(c);
    struct session *x = find(m, channel);
    if (!rl_cursor_done(c))
        rl_monitor_refuse(m, "malformed notice");
    else if (x) {
        x->is_closed = true;
        if (!x->is_pty) { /* a terminal's relay has counted itself */
            x->bytes_in = in;
            x->bytes_out = out;
        }
        if (!x->leader_is_gone) /* the client closed the channel and left the command behind */
            kill(-x->leader, SIGHUP);
        end_if_done(m, x);
    } else {
        rl_forward_closed(m, channel);
    }
    return SILENCE;
}

void rl_session_kill_all(struct monitor *m, int number)
{
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        if (m->sessions[i].is_used && !m->sessions[i].leader_is_gone)
            kill(-m->sessions[i].leader, number);
}

bool rl_session_any_alive(const struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++)
        if (m->sessions[i].is_used && (!m->sessions[i].leader_is_gone || m->sessions[i].relay > 0))
            return true;
    return false;
}

void rl_session_end_all(struct monitor *m)
{
    for (size_t i = 0; i < RL_SSHD_SESSIONS_MAX; i++) {
        struct session *x = &m->sessions[i];
        if (!x->is_used)
            continue;
        read_relay(x);
        if (x->relay > 0)
            kill(x->relay, SIGKILL);
        x->relay = 0;
        x->leader_is_gone = x->is_closed = true;
        end_if_done(m, x);
    }
}
