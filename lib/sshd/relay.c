/* relay: the room between a terminal and the transport, and the monitor's child, not the
 * transport's: what a session shows passes here, and is recorded here, whatever the transport says.
 * It carries bytes, sets window sizes, counts, and drains the terminal when its leader is gone. */
#include "recorder.h"
#include "sshd/confine.h"
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PART_BYTES 65536
#define FDS_MAX 16

enum { TERMINAL, TRANSPORT, MONITOR, PEERS };
enum { RECORDER = PEERS, FDS };

struct part {
    size_t at, n;
    uint64_t total;
    uint8_t bytes[PART_BYTES];
};

struct relay {
    int fds[PEERS];
    struct part to_user, to_terminal;
    struct recorder recorder;
    bool is_draining; /* the leader is gone: what is there is carried, nothing is waited for */
    bool terminal_is_done, transport_is_done;
};

static void listen_to_monitor(struct relay *r)
{
    struct winsize size;
    ssize_t n = read(r->fds[MONITOR], &size, sizeof size);
    if (n == sizeof size) {
        ioctl(r->fds[TERMINAL], TIOCSWINSZ, &size);
        rl_recorder_resize(&r->recorder, size.ws_col, size.ws_row);
    } else if (n == 0) {
        r->is_draining = true;
    }
}

static void read_terminal(struct relay *r)
{
    struct part *p = &r->to_user;
    ssize_t n = read(r->fds[TERMINAL], p->bytes, sizeof p->bytes);
    if (n > 0) {
        p->at = 0;
        p->n = (size_t)n;
        p->total += (uint64_t)n;
        rl_recorder_output(&r->recorder, RL_SPAN(p->bytes, (size_t)n));
        return;
    }
    /* EIO: the last one that had the terminal open has closed it. */
    bool is_empty = n < 0 && errno == EAGAIN;
    if (n == 0 || (n < 0 && errno == EIO) || (is_empty && r->is_draining))
        r->terminal_is_done = true;
}

static void write_transport(struct relay *r)
{
    struct part *p = &r->to_user;
    ssize_t n = write(r->fds[TRANSPORT], p->bytes + p->at, p->n);
    if (n > 0) {
        p->at += (size_t)n;
        p->n -= (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        r->transport_is_done = true;
    }
}

static void read_transport(struct relay *r)
{
    struct part *p = &r->to_terminal;
    ssize_t n = read(r->fds[TRANSPORT], p->bytes, sizeof p->bytes);
    if (n > 0) {
        p->at = 0;
        p->n = (size_t)n;
        p->total += (uint64_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        r->transport_is_done = true;
    }
}

static void write_terminal(struct relay *r)
{
    struct part *p = &r->to_terminal;
    ssize_t n = write(r->fds[TERMINAL], p->bytes + p->at, p->n);
    if (n > 0) {
        p->at += (size_t)n;
        p->n -= (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        p->n = 0; /* nobody has the terminal open any more */
    }
}

static bool is_over(const struct relay *r)
{
    return r->transport_is_done || (r->terminal_is_done && !r->to_user.n);
}

/* What is shown is recorded first: when the recorder has no room, the terminal has to wait. */
static bool may_read_terminal(const struct relay *r)
{
    return !r->to_user.n && !r->terminal_is_done &&
           rl_recorder_has_room(&r->recorder, sizeof r->to_user.bytes);
}

static void wait_for_peers(struct relay *r, struct pollfd p[FDS])
{
    bool reads = may_read_terminal(r);
    int terminal = (reads ? POLLIN : 0) | (r->to_terminal.n ? POLLOUT : 0);
    int transport = (r->to_user.n ? POLLOUT : 0) | (r->to_terminal.n ? 0 : POLLIN);
    bool is_sending = rl_recorder_is_sending(&r->recorder);
    p[TERMINAL] = (struct pollfd){r->terminal_is_done ? -1 : r->fds[TERMINAL], (short)terminal, 0};
    p[TRANSPORT] = (struct pollfd){r->fds[TRANSPORT], (short)transport, 0};
    p[MONITOR] = (struct pollfd){r->is_draining ? -1 : r->fds[MONITOR], POLLIN, 0};
    p[RECORDER] = (struct pollfd){is_sending ? r->recorder.fd : -1, POLLOUT, 0};
    /* A terminal whose last program is gone hangs up, asked for or not. */
    if (!terminal)
        p[TERMINAL].fd = -1;
    bool must_not_wait = r->is_draining && reads;
    if (poll(p, FDS, must_not_wait ? 0 : rl_recorder_timeout_ms(&r->recorder)) < 0)
        for (int i = 0; i < FDS; i++)
            p[i].revents = 0;
}

static void carry(struct relay *r)
{
    while (!is_over(r)) {
        struct pollfd p[FDS];
        wait_for_peers(r, p);
        rl_recorder_step(&r->recorder);
        if (p[MONITOR].revents)
            listen_to_monitor(r);
        if (may_read_terminal(r))
            read_terminal(r);
        if (r->to_user.n)
            write_transport(r);
        if (!r->to_terminal.n && p[TRANSPORT].revents)
            read_transport(r);
        if (r->to_terminal.n && !r->terminal_is_done)
            write_terminal(r);
    }
}

/* The descriptors: terminal, transport, monitor, and the agent where the session is recorded. */
static void open_recorder(struct relay *r, const char *channel)
{
    struct winsize size;
    int fd = RL_ROOM_FD_FIRST + RECORDER;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        fd = -1;
    rl_recorder_init(&r->recorder, fd, (uint32_t)strtoul(channel, NULL, 10));
    if (ioctl(r->fds[TERMINAL], TIOCGWINSZ, &size) == 0)
        rl_recorder_resize(&r->recorder, size.ws_col, size.ws_row);
}

int rl_sshd_relay_main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    struct relay *r = rl_alloc(sizeof *r);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < PEERS; i++) {
        r->fds[i] = RL_ROOM_FD_FIRST + i;
        fcntl(r->fds[i], F_SETFL, O_NONBLOCK);
    }
    open_recorder(r, argv[3]);
    struct rl_confine confine = {
        .profile = RL_CONFINE_RELAY,
        .empty_dir = *argv[1] ? argv[1] : NULL,
        .uid = (uid_t)strtoul(argv[2], NULL, 10),
        .fds_max = FDS_MAX,
    };
    int step = rl_confine(&confine);
    if (step)
        _exit(step);
    carry(r);
    rl_recorder_finish(&r->recorder);
    uint64_t counts[2] = {r->to_terminal.total, r->to_user.total};
    if (write(r->fds[MONITOR], counts, sizeof counts) < 0)
        _exit(1);
    _exit(0);
}
