/* lie: what a transport that was taken over would try. Linked into a harness of its own with
 * --wrap=rl_wire_send: the transport's messages pass here first. The order comes from RL_LIE in
 * the harness's environment (rooms get none, so it is read from the monitor's):
 *
 *   record:DIR   honest, but keeps what it sent to have signed and verified
 *   NAME:DIR     one of the lies below; old messages come from DIR */
#include "sshd/listener.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define ORDER_BYTES 512

bool __real_rl_wire_send(int socket, const struct rl_wire_message *m);
bool __wrap_rl_wire_send(int socket, const struct rl_wire_message *m);

static char order[ORDER_BYTES];
static struct rl_buf old_sign, old_verify;
static int record_sign = -1, record_verify = -1;
static bool has_lied;

/* ---- the lies: each makes `m` what is sent instead of, or before, the honest message ---- */

static void put_start(struct rl_wire_message *m, uint32_t channel)
{
    rl_wire_begin(m, RL_WIRE_START);
    rl_buf_put_u32(&m->body, channel);
    rl_buf_put_u32(&m->body, RL_SSHD_EXEC);
    rl_buf_put_string(&m->body, rl_span_of("echo RAN"));
    rl_buf_put_u8(&m->body, 0);
    rl_buf_put_string(&m->body, rl_span_of(""));
    for (int i = 0; i < 4; i++)
        rl_buf_put_u32(&m->body, 0);
    rl_buf_put_string(&m->body, rl_span_of(""));
    rl_buf_put_string(&m->body, rl_span_of(""));
    rl_buf_put_u8(&m->body, 0);
}

static void session_before_login(struct rl_wire_message *m)
{
    put_start(m, 0);
}

static void another_channel(struct rl_wire_message *m)
{
    put_start(m, 7);
}

static void window_before_login(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_WINDOW);
    for (int i = 0; i < 5; i++)
        rl_buf_put_u32(&m->body, 0);
}

static void sign_anything(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_SIGN);
    rl_buf_put_string(&m->body, rl_span_of("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
}

/* Where field `n` of the exchange hash begins, counted from the type byte. */
static size_t field(const struct rl_wire_message *m, unsigned n)
{
    struct rl_cursor c = rl_cursor_of(RL_SPAN(m->body.p + 5, m->body.n - 5));
    for (unsigned i = 0; i < n; i++)
        rl_cursor_string(&c);
    return (size_t)(c.p - m->body.p) + 4;
}

static void another_version(struct rl_wire_message *m)
{
    m->body.p[field(m, 1) + 9] ^= 1;
}

static void another_cookie(struct rl_wire_message *m)
{
    m->body.p[field(m, 3) + 1] ^= 1;
}

static void another_host(struct rl_wire_message *m)
{
    m->body.p[field(m, 4) + 20] ^= 1;
}

/* The client's list of key exchanges, after the KEXINIT byte, the cookie and a length. */
static void another_exchange(struct rl_wire_message *m)
{
    uint8_t *init = m->body.p + field(m, 2);
    size_t n = (size_t)init[19] << 8 | init[20];
    memset(init + 21, '?', n);
}

static void an_old_exchange(struct rl_wire_message *m)
{
    rl_buf_clear(&m->body);
    rl_buf_put_span(&m->body, rl_buf_span(&old_sign));
}

static void an_old_login(struct rl_wire_message *m)
{
    rl_buf_clear(&m->body);
    rl_buf_put_span(&m->body, rl_buf_span(&old_verify));
}

static void another_login(struct rl_wire_message *m)
{
    struct rl_buf rest;
    rl_buf_init(&rest, RL_WIRE_BYTES_MAX);
    struct rl_cursor c = rl_wire_fields(m);
    rl_cursor_string(&c);
    rl_buf_put(&rest, c.p, c.n);
    rl_wire_begin(m, RL_WIRE_VERIFY);
    rl_buf_put_string(&m->body, rl_span_of("nobody"));
    rl_buf_put_span(&m->body, rl_buf_span(&rest));
    rl_buf_fini(&rest);
}

static void a_descriptor(struct rl_wire_message *m)
{
    m->fds[0] = STDIN_FILENO;
    m->fds_n = 1;
}

static void an_unknown_message(struct rl_wire_message *m)
{
    rl_wire_begin(m, (enum rl_wire_type)50);
}

static void cut(struct rl_wire_message *m)
{
    m->body.n -= 3;
}

/* Asks on and on and reads no answer, so that the monitor would wait for it for ever. */
static void deaf(struct rl_wire_message *m)
{
    window_before_login(m);
    while (__real_rl_wire_send(RL_ROOM_FD_SECOND, m))
        ;
}

/* ---- what is asked at the wrong time, or malformed ---- */

static void signal_before_login(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_SIGNAL);
    rl_buf_put_u32(&m->body, 0);
    rl_buf_put_string(&m->body, rl_span_of("KILL"));
}

static void put_forward(struct rl_wire_message *m, uint32_t channel, const char *host)
{
    rl_wire_begin(m, RL_WIRE_FORWARD);
    rl_buf_put_u32(&m->body, channel);
    rl_buf_put_u8(&m->body, 0);
    rl_buf_put_string(&m->body, rl_span_of(host));
    rl_buf_put_u32(&m->body, 80);
}

static void forward_before_login(struct rl_wire_message *m)
{
    put_forward(m, 0, "127.0.0.1");
}

static void put_closed(struct rl_wire_message *m, uint32_t channel)
{
    rl_wire_begin(m, RL_WIRE_CLOSED);
    rl_buf_put_u32(&m->body, channel);
    rl_buf_put_u64(&m->body, 0);
    rl_buf_put_u64(&m->body, 0);
}

static void closed_before_login(struct rl_wire_message *m)
{
    put_closed(m, 0);
}

static void active_before_login(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_ACTIVE);
}

static void a_message_of_the_monitors(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_YES);
}

/* One byte more than a message may have; what is sent after it is the honest one. */
static void an_oversized_message(struct rl_wire_message *m)
{
    (void)m;
    static uint8_t room[RL_WIRE_BYTES_MAX + 1] = {RL_WIRE_QUERY};
    struct iovec part = {room, sizeof room};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (sendmsg(RL_ROOM_FD_SECOND, &header, MSG_NOSIGNAL) != sizeof room)
        abort();
}

static void put_listen(struct rl_wire_message *m, uint8_t kind, const char *host, uint32_t port)
{
    rl_wire_begin(m, RL_WIRE_LISTEN);
    rl_buf_put_u8(&m->body, kind);
    rl_buf_put_string(&m->body, rl_span_of(host));
    rl_buf_put_u32(&m->body, port);
}

static void listen_before_login(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_TCP, "", 0);
}

static void unlisten_before_login(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_TCP, "", 0);
    m->body.p[0] = RL_WIRE_UNLISTEN;
}

/* An agent's socket is asked for with a session, never by itself. */
static void an_agent_without_a_session(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_AGENT, "", 0);
}

static void a_port_too_high(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_TCP, "", 65536);
}

static void a_cut_listen(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_UNIX, "/tmp/rl-sshd-lie", 0);
    cut(m);
}

static void a_listener(struct rl_wire_message *m)
{
    put_listen(m, LISTEN_UNIX, "/tmp/rl-sshd-lie", 0);
}

static void another_kind_of_forward(struct rl_wire_message *m)
{
    put_forward(m, 0, "127.0.0.1");
    m->body.p[5] = 2;
}

static void query_after_login(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_QUERY);
    rl_buf_put_string(&m->body, rl_span_of("root"));
    rl_buf_put_string(&m->body, rl_span_of(""));
}

static void forward_on_another_channel(struct rl_wire_message *m)
{
    put_forward(m, 7, "127.0.0.1");
}

static void a_cut_forward(struct rl_wire_message *m)
{
    put_forward(m, 0, "127.0.0.1");
    cut(m);
}

static void a_cut_window(struct rl_wire_message *m)
{
    window_before_login(m);
    cut(m);
}

static void a_cut_signal(struct rl_wire_message *m)
{
    signal_before_login(m);
    cut(m);
}

static void a_cut_notice(struct rl_wire_message *m)
{
    put_closed(m, 0);
    cut(m);
}

static void activity_with_more(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_ACTIVE);
    rl_buf_put_u32(&m->body, 0);
}

static void a_cut_farewell(struct rl_wire_message *m)
{
    rl_wire_begin(m, RL_WIRE_GONE);
    rl_buf_put_string(&m->body, rl_span_of("farewell"));
    cut(m);
}

/* ---- a request for a session with something wrong in it ---- */

struct odd_start {
    uint32_t kind;
    struct rl_span command, modes, environment;
    uint8_t pty, agent;
    const char *term;
};

static void put_odd_start(struct rl_wire_message *m, const struct odd_start *odd)
{
    rl_wire_begin(m, RL_WIRE_START);
    rl_buf_put_u32(&m->body, 0);
    rl_buf_put_u32(&m->body, odd->kind);
    rl_buf_put_string(&m->body, odd->command);
    rl_buf_put_u8(&m->body, odd->pty);
    rl_buf_put_string(&m->body, rl_span_of(odd->term ? odd->term : ""));
    for (int i = 0; i < 4; i++)
        rl_buf_put_u32(&m->body, 24);
    rl_buf_put_string(&m->body, odd->modes);
    rl_buf_put_string(&m->body, odd->environment);
    rl_buf_put_u8(&m->body, odd->agent);
}

static const uint8_t many[RL_SSHD_COMMAND_BYTES_MAX + 1] = {'x'};

static void an_unknown_kind(struct rl_wire_message *m)
{
    put_odd_start(m, &(struct odd_start){.kind = 9, .command = rl_span_of("echo RAN")});
}

static void a_long_command(struct rl_wire_message *m)
{
    put_odd_start(m,
                  &(struct odd_start){.kind = RL_SSHD_EXEC, .command = RL_SPAN(many, sizeof many)});
}

static void a_command_with_nul(struct rl_wire_message *m)
{
    put_odd_start(m, &(struct odd_start){.kind = RL_SSHD_EXEC, .command = RL_SPAN("echo\0RAN", 8)});
}

static void a_long_environment(struct rl_wire_message *m)
{
    put_odd_start(m, &(struct odd_start){.kind = RL_SSHD_EXEC,
                                         .command = rl_span_of("echo RAN"),
                                         .environment = RL_SPAN(many, 4097)});
}

static void a_long_list_of_modes(struct rl_wire_message *m)
{
    put_odd_start(m, &(struct odd_start){.kind = RL_SSHD_EXEC,
                                         .command = rl_span_of("echo RAN"),
                                         .modes = RL_SPAN(many, 1025)});
}

static void an_agent_and_a_half(struct rl_wire_message *m)
{
    put_odd_start(m, &(struct odd_start){
                         .kind = RL_SSHD_EXEC, .command = rl_span_of("echo RAN"), .agent = 2});
}

static void a_long_terminal(struct rl_wire_message *m)
{
    char term[65];
    memset(term, 'x', sizeof term - 1);
    term[sizeof term - 1] = '\0';
    put_odd_start(
        m, &(struct odd_start){
               .kind = RL_SSHD_EXEC, .command = rl_span_of("echo RAN"), .pty = 1, .term = term});
}

static void more_than_a_start(struct rl_wire_message *m)
{
    put_start(m, 0);
    rl_buf_put_u8(&m->body, 0);
}

/* ---- well-formed, and no more than the roles allow comes of it ---- */

static void a_terminal(struct rl_wire_message *m)
{
    put_odd_start(
        m, &(struct odd_start){
               .kind = RL_SSHD_EXEC, .command = rl_span_of("echo RAN"), .pty = 1, .term = "vt100"});
}

static void another_subsystem(struct rl_wire_message *m)
{
    put_odd_start(
        m, &(struct odd_start){.kind = RL_SSHD_SUBSYSTEM, .command = rl_span_of("/bin/echo RAN")});
}

static void a_forward(struct rl_wire_message *m)
{
    put_forward(m, 0, "127.0.0.1");
}

static void a_metadata_address(struct rl_wire_message *m)
{
    put_forward(m, 0, "169.254.169.254");
}

/* It has said farewell, and asks for one more thing. */
static void a_start_after_the_farewell(struct rl_wire_message *m)
{
    struct rl_wire_message farewell;
    rl_wire_init(&farewell);
    rl_wire_begin(&farewell, RL_WIRE_GONE);
    rl_buf_put_string(&farewell.body, rl_span_of("farewell"));
    __real_rl_wire_send(RL_ROOM_FD_SECOND, &farewell);
    put_start(m, 0);
}

/* ---- a login with something changed ---- */

enum { LOGIN, SERVICE, ALGORITHM, CERTIFICATE, SIGNATURE };

static void change_last_byte(struct rl_wire_message *m, unsigned n)
{
    struct rl_cursor c = rl_wire_fields(m);
    struct rl_span value = {0};
    for (unsigned i = 0; i <= n; i++)
        value = rl_cursor_string(&c);
    m->body.p[(size_t)(value.p + value.n - 1 - m->body.p)] ^= 1;
}

static void a_changed_certificate(struct rl_wire_message *m)
{
    change_last_byte(m, CERTIFICATE);
}

static void a_changed_signature(struct rl_wire_message *m)
{
    change_last_byte(m, SIGNATURE);
}

static void another_service(struct rl_wire_message *m)
{
    change_last_byte(m, SERVICE);
}

static void another_algorithm(struct rl_wire_message *m)
{
    change_last_byte(m, ALGORITHM);
}

/* ---- system calls that are not a transport's ---- */

static void a_socket(struct rl_wire_message *m)
{
    (void)m;
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
        _exit(99);
}

static void a_file(struct rl_wire_message *m)
{
    (void)m;
    if (open("/", O_RDONLY) >= 0)
        _exit(99);
}

static void a_program(struct rl_wire_message *m)
{
    (void)m;
    execl("/bin/sh", "sh", "-c", "exit 99", (char *)NULL);
}

static void a_signal(struct rl_wire_message *m)
{
    (void)m;
    if (kill(getppid(), 0) == 0)
        _exit(99);
}

static const struct {
    const char *name;
    enum rl_wire_type at;
    void (*tell)(struct rl_wire_message *m);
} lies[] = {
    {"session-before-login", RL_WIRE_QUERY, session_before_login},
    {"window-before-login", RL_WIRE_QUERY, window_before_login},
    {"login-before-keys", RL_WIRE_SIGN, an_old_login},
    {"sign-anything", RL_WIRE_SIGN, sign_anything},
    {"second-exchange", RL_WIRE_QUERY, an_old_exchange},
    {"another-version", RL_WIRE_SIGN, another_version},
    {"another-cookie", RL_WIRE_SIGN, another_cookie},
    {"another-host", RL_WIRE_SIGN, another_host},
    {"another-exchange", RL_WIRE_SIGN, another_exchange},
    {"old-exchange", RL_WIRE_SIGN, an_old_exchange},
    {"old-login", RL_WIRE_VERIFY, an_old_login},
    {"another-login", RL_WIRE_VERIFY, another_login},
    {"second-login", RL_WIRE_START, an_old_login},
    {"another-channel", RL_WIRE_START, another_channel},
    {"descriptor", RL_WIRE_START, a_descriptor},
    {"unknown-message", RL_WIRE_QUERY, an_unknown_message},
    {"deaf", RL_WIRE_START, deaf},
    {"cut-message", RL_WIRE_START, cut},
    {"signal-before-login", RL_WIRE_QUERY, signal_before_login},
    {"forward-before-login", RL_WIRE_QUERY, forward_before_login},
    {"closed-before-login", RL_WIRE_QUERY, closed_before_login},
    {"active-before-login", RL_WIRE_QUERY, active_before_login},
    {"monitors-message", RL_WIRE_QUERY, a_message_of_the_monitors},
    {"oversized-message", RL_WIRE_QUERY, an_oversized_message},
    {"changed-certificate", RL_WIRE_VERIFY, a_changed_certificate},
    {"changed-signature", RL_WIRE_VERIFY, a_changed_signature},
    {"another-service", RL_WIRE_VERIFY, another_service},
    {"another-algorithm", RL_WIRE_VERIFY, another_algorithm},
    {"listen-before-login", RL_WIRE_QUERY, listen_before_login},
    {"unlisten-before-login", RL_WIRE_QUERY, unlisten_before_login},
    {"agent-without-session", RL_WIRE_START, an_agent_without_a_session},
    {"port-too-high", RL_WIRE_START, a_port_too_high},
    {"cut-listen", RL_WIRE_START, a_cut_listen},
    {"listener", RL_WIRE_START, a_listener},
    {"another-kind-of-forward", RL_WIRE_START, another_kind_of_forward},
    {"long-modes", RL_WIRE_START, a_long_list_of_modes},
    {"agent-and-a-half", RL_WIRE_START, an_agent_and_a_half},
    {"query-after-login", RL_WIRE_START, query_after_login},
    {"sign-after-login", RL_WIRE_START, sign_anything},
    {"forward-on-another-channel", RL_WIRE_START, forward_on_another_channel},
    {"cut-forward", RL_WIRE_START, a_cut_forward},
    {"cut-window", RL_WIRE_START, a_cut_window},
    {"cut-signal", RL_WIRE_START, a_cut_signal},
    {"cut-notice", RL_WIRE_START, a_cut_notice},
    {"activity-with-more", RL_WIRE_START, activity_with_more},
    {"cut-farewell", RL_WIRE_START, a_cut_farewell},
    {"unknown-kind", RL_WIRE_START, an_unknown_kind},
    {"long-command", RL_WIRE_START, a_long_command},
    {"command-with-nul", RL_WIRE_START, a_command_with_nul},
    {"long-environment", RL_WIRE_START, a_long_environment},
    {"long-terminal", RL_WIRE_START, a_long_terminal},
    {"more-than-a-start", RL_WIRE_START, more_than_a_start},
    {"terminal", RL_WIRE_START, a_terminal},
    {"another-subsystem", RL_WIRE_START, another_subsystem},
    {"forward", RL_WIRE_START, a_forward},
    {"metadata-address", RL_WIRE_START, a_metadata_address},
    {"start-after-farewell", RL_WIRE_START, a_start_after_the_farewell},
    {"window-of-no-session", RL_WIRE_START, window_before_login},
    {"signal-of-no-session", RL_WIRE_START, signal_before_login},
    {"closed-of-no-session", RL_WIRE_START, closed_before_login},
    {"socket", RL_WIRE_QUERY, a_socket},
    {"file", RL_WIRE_QUERY, a_file},
    {"program", RL_WIRE_QUERY, a_program},
    {"signal", RL_WIRE_QUERY, a_signal},
};

static bool is_ordered(const char *name)
{
    size_t n = strlen(name);
    return strncmp(order, name, n) == 0 && order[n] == ':';
}

static void record(const struct rl_wire_message *m)
{
    int fd = -1;
    if (rl_wire_type(m) == RL_WIRE_SIGN)
        fd = record_sign;
    if (rl_wire_type(m) == RL_WIRE_VERIFY)
        fd = record_verify;
    if (fd >= 0 && write(fd, m->body.p, m->body.n) < 0)
        abort();
}

bool __wrap_rl_wire_send(int socket, const struct rl_wire_message *m)
{
    if (!*order)
        return __real_rl_wire_send(socket, m);
    record(m);
    for (size_t i = 0; i < RL_COUNT(lies); i++) {
        if (has_lied || !is_ordered(lies[i].name) || rl_wire_type(m) != lies[i].at)
            continue;
        has_lied = true;
        struct rl_wire_message false_one;
        rl_wire_init(&false_one);
        rl_buf_put_span(&false_one.body, rl_buf_span(&m->body));
        lies[i].tell(&false_one);
        return __real_rl_wire_send(socket, &false_one);
    }
    return __real_rl_wire_send(socket, m);
}

/* ---- before main(), before the confinement ---- */

static void read_order(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    while (f && getdelim(&line, &cap, 0, f) > 0)
        if (strncmp(line, "RL_LIE=", 7) == 0)
            snprintf(order, sizeof order, "%s", line + 7);
    free(line);
    if (f)
        fclose(f);
}

static int open_record(const char *dir, const char *name, int flags)
{
    char path[ORDER_BYTES * 2];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return open(path, flags | O_CLOEXEC, 0600);
}

static void read_record(const char *dir, const char *name, struct rl_buf *out)
{
    rl_buf_init(out, RL_WIRE_BYTES_MAX);
    int fd = open_record(dir, name, O_RDONLY);
    uint8_t *room = rl_buf_reserve(out, RL_WIRE_BYTES_MAX);
    ssize_t n = fd >= 0 && room ? read(fd, room, RL_WIRE_BYTES_MAX) : 0;
    out->n = n > 0 ? (size_t)n : 0;
    if (fd >= 0)
        close(fd);
}

__attribute__((constructor)) static void prepare(int argc, char **argv)
{
    if (argc < 1 || strcmp(argv[0], RL_SSHD_TRANSPORT_NAME) != 0)
        return;
    read_order();
    const char *dir = strchr(order, ':');
    if (!dir)
        return;
    if (is_ordered("record")) {
        record_sign = open_record(dir + 1, "sign", O_WRONLY | O_CREAT | O_TRUNC);
        record_verify = open_record(dir + 1, "verify", O_WRONLY | O_CREAT | O_TRUNC);
        return;
    }
    read_record(dir + 1, "sign", &old_sign);
    read_record(dir + 1, "verify", &old_verify);
}
