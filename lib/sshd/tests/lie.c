/* lie: what a transport that was taken over would try. Linked into a harness of its own with
 * --wrap=rl_wire_send: the transport's messages pass here first. The order comes from RL_LIE in
 * the harness's environment (rooms get none, so it is read from the monitor's):
 *
 *   record:DIR   honest, but keeps what it sent to have signed and verified
 *   NAME:DIR     one of the lies below; old messages come from DIR */
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

static void a_cut_message(struct rl_wire_message *m)
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
    {"cut-message", RL_WIRE_START, a_cut_message},
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
