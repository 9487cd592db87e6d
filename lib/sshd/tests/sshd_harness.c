/* sshd_harness: the smallest agent: listens on the loopback, forks a monitor for each connection,
 * decides by a simple rule, and prints events as lines on stdout. For tests only.
 *
 *   sshd_harness --dir=DIR --login=NAME... [--no-pty] [--no-forwarding] [--no-file-copy]
 *                [--idle=S] [--expire=S] [--max-sessions=N] [--grace=S] [--attempts=N]
 *                [--message=TEXT] [--agent] [--motd=FILE] [--foreign]
 *
 * DIR holds host (private key), host-cert.pub, ca.pub, otherca.pub (another cluster's; with
 * --foreign its users come here too), and empty/. "port N" is the first line. SIGUSR1 ends every
 * connection with a message. */
#include "sshd/sshd.h"
#include "sshd/transport/transport.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOGINS_MAX 8
#define CONNECTIONS_MAX 64
#define ROOM_UID_BASE 64000
#define ROOM_UID_COUNT 1000

struct harness {
    const char *dir;
    const char *logins[LOGINS_MAX];
    size_t logins_n;
    struct rl_sshd_grant grant;
    uint32_t expire_s;
    struct rl_sshd_config config;
    struct rl_buf host_public, host_certificate, authority, foreign;
    struct rl_span authority_span, foreign_span;
    char empty_dir[256];
    int controls[CONNECTIONS_MAX];
};

static volatile sig_atomic_t must_end;

static void on_usr1(int number)
{
    (void)number;
    must_end = 1;
}

static void read_file(const char *dir, const char *name, struct rl_buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(1);
    }
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        rl_buf_put(out, part, n);
    fclose(f);
}

static void read_line(const char *dir, const char *name, struct rl_buf *blob)
{
    struct rl_buf text;
    struct rl_error err;
    rl_buf_init(&text, 65536);
    rl_buf_init(blob, RL_SSHCERT_BYTES_MAX);
    read_file(dir, name, &text);
    if (rl_sshkey_line_parse(rl_buf_text(&text), blob, &err) != RL_OK) {
        fprintf(stderr, "%s: %s\n", name, err.message);
        exit(1);
    }
    rl_buf_fini(&text);
}

static void load_keys(struct harness *h)
{
    struct rl_buf text;
    struct rl_error err;
    rl_buf_init(&text, 65536);
    read_file(h->dir, "host", &text);
    if (rl_sshkey_private_parse(rl_buf_span(&text), &h->config.host_key, &err) != RL_OK) {
        fprintf(stderr, "host: %s\n", err.message);
        exit(1);
    }
    rl_buf_fini(&text);
    read_line(h->dir, "host.pub", &h->host_public);
    read_line(h->dir, "host-cert.pub", &h->host_certificate);
    read_line(h->dir, "ca.pub", &h->authority);
    read_line(h->dir, "otherca.pub", &h->foreign);
    h->authority_span = rl_buf_span(&h->authority);
    h->foreign_span = rl_buf_span(&h->foreign);
}

static rl_code authorize(void *ctx, const struct rl_sshd_request *request,
                         struct rl_sshd_grant *grant, struct rl_error *err)
{
    struct harness *h = ctx;
    for (size_t i = 0; i < h->logins_n; i++) {
        if (strcmp(h->logins[i], request->login) != 0)
            continue;
        *grant = h->grant;
        if (h->expire_s)
            grant->disconnect_at_s = time(NULL) + h->expire_s;
        snprintf(grant->session_id, sizeof grant->session_id, "session-%d", (int)getpid());
        return RL_OK;
    }
    return rl_fail(err, RL_E_DENIED,
                   "access denied: role(s) access do not allow login \"%s\" on node-h",
                   request->login);
}

static void print_event(void *ctx, const struct rl_sshd_event *e)
{
    static const char *const types[] = {"session.start", "session.command",  "session.resize",
                                        "session.end",   "session.rejected", "port.forward",
                                        "sftp",          "client.disconnect"};
    (void)ctx;
    dprintf(
        STDOUT_FILENO,
        "event %s session=%s login=%s channel=%u kind=%d outcome=%d pty=%d size=%ux%u exit=%d "
        "signal=%s in=%llu out=%llu host=%s port=%u direction=%s operation=%s path=%s target=%s "
        "command=%.300s reason=%s\n",
        types[e->type], e->session_id, e->login, e->channel, (int)e->kind, (int)e->outcome, e->pty,
        e->columns, e->rows, e->exit_code, e->signal, (unsigned long long)e->bytes_in,
        (unsigned long long)e->bytes_out, e->host, e->port, e->direction, e->operation, e->path,
        e->target, e->command, e->reason);
}

enum {
    DIR_,
    LOGIN,
    NO_PTY,
    NO_FORWARDING,
    NO_COPY,
    IDLE,
    EXPIRE,
    SESSIONS,
    GRACE,
    ATTEMPTS,
    MESSAGE,
    AGENT,
    MOTD,
    FOREIGN
};
static const struct option options[] = {
    {"dir", 1, NULL, DIR_},
    {"login", 1, NULL, LOGIN},
    {"no-pty", 0, NULL, NO_PTY},
    {"no-forwarding", 0, NULL, NO_FORWARDING},
    {"no-file-copy", 0, NULL, NO_COPY},
    {"idle", 1, NULL, IDLE},
    {"expire", 1, NULL, EXPIRE},
    {"max-sessions", 1, NULL, SESSIONS},
    {"grace", 1, NULL, GRACE},
    {"message", 1, NULL, MESSAGE},
    {"attempts", 1, NULL, ATTEMPTS},
    {"agent", 0, NULL, AGENT},
    {"motd", 1, NULL, MOTD},
    {"foreign", 0, NULL, FOREIGN},
    {NULL, 0, NULL, 0},
};

static void take_switch(struct harness *h, int option)
{
    if (option == NO_PTY)
        h->grant.permit_pty = false;
    else if (option == NO_FORWARDING)
        h->grant.port_forwarding = false;
    else if (option == NO_COPY)
        h->grant.file_copy = false;
    else if (option == AGENT)
        h->grant.agent_forwarding = true;
    else if (option == FOREIGN)
        h->config.foreign_authorities_n = 1;
    else
        exit(2);
}

static void take_value(struct harness *h, int option, char *text)
{
    uint32_t value = (uint32_t)strtoul(text, NULL, 10);
    if (option == DIR_)
        h->dir = text;
    else if (option == LOGIN && h->logins_n < LOGINS_MAX)
        h->logins[h->logins_n++] = text;
    else if (option == MOTD)
        h->config.motd_path = text;
    else if (option == IDLE)
        h->grant.client_idle_timeout_s = value;
    else if (option == EXPIRE)
        h->expire_s = value;
    else if (option == SESSIONS)
        h->grant.max_sessions = value;
    else if (option == GRACE)
        h->config.login_grace_s = value;
    else if (option == ATTEMPTS)
        h->config.attempts_max = value;
    else if (option == MESSAGE)
        snprintf(h->grant.message, sizeof h->grant.message, "%s", text);
    else
        exit(2);
}

static void parse(struct harness *h, int argc, char **argv)
{
    h->grant.permit_pty = h->grant.port_forwarding = h->grant.file_copy = true;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        if (optarg)
            take_value(h, o, optarg);
        else
            take_switch(h, o);
    }
    if (!h->dir)
        exit(2);
}

static int listen_on_loopback(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        perror("listen");
        exit(1);
    }
    dprintf(STDOUT_FILENO, "port %u\n", ntohs(a.sin_port));
    return fd;
}

static _Noreturn void serve(struct harness *h, int connection, int control)
{
    struct rl_error err;
    rl_code rc = rl_sshd_serve(&h->config, connection, control, "127.0.0.1", &err);
    dprintf(STDOUT_FILENO, "served %s %s\n", rl_code_name(rc), rc == RL_OK ? "" : err.message);
    _exit(0);
}

/* In the place of one whose monitor is gone. */
static void keep_control(struct harness *h, int control)
{
    char byte;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        int *slot = &h->controls[i];
        if (*slot >= 0 && recv(*slot, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
            close(*slot);
            *slot = -1;
        }
        if (*slot < 0) {
            *slot = control;
            return;
        }
    }
    close(control);
}

static void take_connection(struct harness *h, int listener)
{
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int pair[2];
    if (connection < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    if (fork() == 0) {
        close(listener);
        close(pair[0]);
        serve(h, connection, pair[1]);
    }
    close(connection);
    close(pair[1]);
    keep_control(h, pair[0]);
}

static void end_all(struct harness *h)
{
    must_end = 0;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (h->controls[i] < 0)
            continue;
        rl_sshd_control_end(h->controls[i], "access was taken away: a lock on user alice", NULL);
        close(h->controls[i]);
        h->controls[i] = -1;
    }
}

static void init(struct harness *h, int argc, char **argv)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        h->controls[i] = -1;
    parse(h, argc, argv);
    load_keys(h);
    snprintf(h->empty_dir, sizeof h->empty_dir, "%s/empty", h->dir);
    h->config.host_public = rl_buf_span(&h->host_public);
    h->config.host_certificate = rl_buf_span(&h->host_certificate);
    h->config.user_authorities = &h->authority_span;
    h->config.user_authorities_n = 1;
    h->config.foreign_authorities = &h->foreign_span;
    h->config.node_name = "node-h";
    h->config.empty_dir = h->empty_dir;
    h->config.room_uid_base = ROOM_UID_BASE;
    h->config.room_uid_count = ROOM_UID_COUNT;
    h->config.ctx = h;
    h->config.authorize = authorize;
    h->config.event = print_event;
}

int main(int argc, char **argv)
{
    int status;
    if (rl_sshd_room(argc, argv, &status))
        return status;
    static struct harness h;
    init(&h, argc, argv);
    struct sigaction usr1 = {.sa_handler = on_usr1}; /* no SA_RESTART: it wakes poll() */
    sigaction(SIGUSR1, &usr1, NULL);
    int listener = listen_on_loopback();
    while (true) {
        struct pollfd p = {listener, POLLIN, 0};
        if (poll(&p, 1, 1000) > 0)
            take_connection(&h, listener);
        if (must_end)
            end_all(&h);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}
