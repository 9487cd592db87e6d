/* node: forking, and what the children report and ask. The child is a copy of the agent, so it
 * decides on the policy that was held when the user came, and asks the agent for what may have
 * changed since; every descriptor of the agent but its own three is closed in it before it reads a
 * byte from anyone.
 */
#include "node.h"

#include "events.h"
#include "guests.h"
#include "log/log.h"
#include "node_child.h"
#include "policy_keeper.h"
#include "recording/recording.h"
#include "recordings.h"
#include "sshd/sshd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_BYTES_MAX 65536
#define ANSWER_BYTES_MAX (RL_ERROR_MESSAGE_BYTES + 32)
#define RECORDING_BYTES_MAX (RL_RECORDING_PART_BYTES_MAX + 64)
#define RECORDING_ROOM_BYTES (2 * RECORDING_BYTES_MAX) /* in the socket of one connection */

struct connection {
    struct connection *next;
    struct node *node;
    char *session_id;
    char *client; /* who is said to come: address and port */
    pid_t pid;
    int control;    /* to the monitor: end it */
    int reports;    /* from the monitor: events and questions; to it: answers */
    int recordings; /* from its relays: parts of recordings */
    struct rl_watch *watch, *recordings_watch;
    bool recordings_wait; /* not read, because there is no room for them now */
    struct guest *guest;  /* whom it let in; NULL: nobody yet */
    bool is_ending;       /* it was told to */
};

struct node {
    struct agent *agent;
    struct connection *connections;
    size_t count;
};

rl_code node_create(struct agent *agent, struct node **out, struct rl_error *err)
{
    (void)err;
    struct node *node = rl_alloc(sizeof *node);
    node->agent = agent;
    *out = node;
    return RL_OK;
}

static void close_if_open(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void connection_free(struct connection *connection)
{
    rl_watch_stop(&connection->watch);
    rl_watch_stop(&connection->recordings_watch);
    close_if_open(&connection->control);
    close_if_open(&connection->reports);
    close_if_open(&connection->recordings);
    guest_leave(&connection->guest);
    free(connection->session_id);
    free(connection->client);
    free(connection);
}

void node_free(struct node **node)
{
    if (!*node)
        return;
    struct connection *next;
    for (struct connection *c = (*node)->connections; c; c = next) {
        next = c->next;
        connection_free(c);
    }
    free(*node);
    *node = NULL;
}

/* ---- what its relays say ---- */

/* `all`: what is there, whether there is room for it or not. */
static void read_recordings(struct connection *connection, bool all)
{
    static uint8_t bytes[RECORDING_BYTES_MAX]; /* one loop, one thread */
    struct recordings *recordings = connection->node->agent->recordings;
    ssize_t n = 1;
    while (n > 0 && (all || !recordings_is_full(recordings))) {
        n = recv(connection->recordings, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK);
        struct rl_span part = RL_SPAN(bytes, n > 0 ? (size_t)n : 0);
        if (n > 0 && !all && !recordings_expects(recordings, connection->session_id, part))
            break; /* until its beginning is here */
        if (n <= 0 || recv(connection->recordings, bytes, 1, MSG_DONTWAIT) < 0)
            break;
        recordings_take(recordings, connection->session_id, part);
    }
    bool is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (is_over)
        rl_watch_stop(&connection->recordings_watch);
    connection->recordings_wait = n > 0;
    if (connection->recordings_watch)
        rl_watch_change(connection->recordings_watch, n > 0 ? 0 : RL_LOOP_READ);
}

static void on_recording(void *context, int fd, unsigned events)
{
    (void)fd;
    read_recordings(context, events & RL_LOOP_HANGUP);
}

void node_read_recordings(struct node *node)
{
    for (struct connection *c = node->connections; c; c = c->next)
        if (c->recordings_wait)
            read_recordings(c, false);
}

/* What was recorded comes before the end that closes it. */
static void see(struct connection *connection, const Pb__Event *event)
{
    if (strcmp(event->type, "session.end") == 0 && connection->recordings_watch)
        read_recordings(connection, true);
    recordings_see(connection->node->agent->recordings, event);
    if (strcmp(event->type, "session.start") == 0 && connection->recordings_wait)
        read_recordings(connection, false);
}

/* ---- what a monitor says ---- */

static void take_event(struct connection *connection, Pb__MonitorReport *report)
{
    Pb__Event *event = report->event;
    report->body_case = PB__MONITOR_REPORT__BODY__NOT_SET;
    report->event = NULL;
    if (connection->guest && strcmp(event->type, "session.end") == 0)
        guest_ended_session(connection->guest);
    see(connection, event);
    events_send(connection->node->agent, &event);
}

static void answer(const struct connection *connection, rl_code code, const struct rl_error *err)
{
    uint8_t bytes[ANSWER_BYTES_MAX];
    Pb__MonitorAnswer said = PB__MONITOR_ANSWER__INIT;
    said.is_yes = code == RL_OK;
    said.code = (uint32_t)code;
    if (code != RL_OK)
        said.message = (char *)(uintptr_t)err->message;
    size_t n = pb__monitor_answer__pack(&said, bytes);
    if (send(connection->reports, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
        rl_log_warn("a monitor could not be answered",
                    RL_TEXT("session_id", connection->session_id));
}

static void take_question(struct connection *connection, const Pb__MonitorReport *report)
{
    struct rl_error err;
    rl_code rc;
    if (report->body_case == PB__MONITOR_REPORT__BODY_GUEST && !connection->guest)
        rc = guest_enter(connection->node->agent, report->guest, &connection->guest, &err);
    else if (report->body_case == PB__MONITOR_REPORT__BODY_SESSION && connection->guest)
        rc = guest_begin_session(connection->guest, &err);
    else
        rc = rl_fail(&err, RL_E_INVAL, "this is not asked now");
    answer(connection, rc, &err);
}

/* From a monitor: it is ours, root's, and says what it saw; it still has to parse. */
static void on_report(void *context, int fd, unsigned events)
{
    (void)events;
    struct connection *connection = context;
    uint8_t bytes[REPORT_BYTES_MAX];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        Pb__MonitorReport *report = pb__monitor_report__unpack(NULL, (size_t)n, bytes);
        if (!report)
            continue;
        if (report->body_case == PB__MONITOR_REPORT__BODY_EVENT)
            take_event(connection, report);
        else
            take_question(connection, report);
        pb__monitor_report__free_unpacked(report, NULL);
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        rl_watch_stop(&connection->watch);
}

struct sockets {
    int stream[2], control[2], reports[2], recordings[2];
};

static void close_sockets(struct sockets *s)
{
    int *all[] = {&s->stream[0],  &s->stream[1],  &s->control[0],    &s->control[1],
                  &s->reports[0], &s->reports[1], &s->recordings[0], &s->recordings[1]};
    for (size_t i = 0; i < RL_COUNT(all); i++)
        close_if_open(all[i]);
}

static rl_code open_sockets(struct sockets *s, struct rl_error *err)
{
    *s = (struct sockets){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    int room = RECORDING_ROOM_BYTES;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->stream) == 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->control) == 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->reports) == 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->recordings) == 0 &&
        setsockopt(s->recordings[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0 &&
        fcntl(s->stream[0], F_SETFL, O_NONBLOCK) == 0)
        return RL_OK;
    rl_fail_errno(err, RL_E_EXHAUSTED, "no descriptors for another connection");
    close_sockets(s);
    return RL_E_EXHAUSTED;
}

/* The kernel hands out the lowest number that is free: below a new one all are taken. */
static rl_code leave_own(const struct agent *agent, const struct sockets *s, struct rl_error *err)
{
    const int all[] = {s->stream[0],  s->stream[1],  s->control[0],    s->control[1],
                       s->reports[0], s->reports[1], s->recordings[0], s->recordings[1]};
    int highest = 0;
    for (size_t i = 0; i < RL_COUNT(all); i++)
        highest = all[i] > highest ? all[i] : highest;
    uint64_t max = agent->descriptors_max;
    if (!max || (uint64_t)highest + RL_AGENT_DESCRIPTORS_OWN < max)
        return RL_OK;
    return rl_fail(err, RL_E_EXHAUSTED,
                   "no descriptors for another connection: the node may have %llu in all; try "
                   "again when somebody has left",
                   (unsigned long long)max);
}

/* "192.0.2.7:1234", "[2001:db8::1]:1234": the same but for the port. */
static bool is_same_client(const char *a, const char *b)
{
    const char *port_a = strrchr(a, ':'), *port_b = strrchr(b, ':');
    size_t n = port_a ? (size_t)(port_a - a) : strlen(a);
    size_t m = port_b ? (size_t)(port_b - b) : strlen(b);
    return n == m && memcmp(a, b, n) == 0;
}

/* The address is the proxy's word: it bounds who comes through a proxy, not what a proxy may do. */
static rl_code check_half_open(const struct node *node, const char *client, struct rl_error *err)
{
    size_t all = 0, of_client = 0;
    for (const struct connection *c = node->connections; c; c = c->next) {
        if (c->guest)
            continue;
        all++;
        of_client += is_same_client(c->client, client);
    }
    if (all < RL_AGENT_HALF_OPEN_MAX && of_client < RL_AGENT_HALF_OPEN_OF_ONE_MAX)
        return RL_OK;
    return rl_fail(
        err, RL_E_EXHAUSTED,
        "the node has %zu connections that have not logged in yet, %zu of them from your "
        "address; try again in a moment",
        all, of_client);
}

static rl_code may_serve(const struct node *node, const Pb__Ticket *ticket, struct rl_error *err)
{
    if (node->count >= RL_AGENT_CONNECTIONS_MAX)
        return rl_fail(err, RL_E_EXHAUSTED, "the node serves %d connections already",
                       RL_AGENT_CONNECTIONS_MAX);
    if (!policy_keeper_policy(node->agent->policy))
        return rl_fail(err, RL_E_UNAVAILABLE, "the node has no policy from auth yet; try again");
    return check_half_open(node, ticket->client_address, err);
}

rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *err)
{
    struct sockets s;
    struct connection *connection = NULL;
    rl_code rc = may_serve(node, ticket, err);
    if (rc != RL_OK || (rc = open_sockets(&s, err)) != RL_OK)
        return rc;
    if ((rc = leave_own(node->agent, &s, err)) != RL_OK)
        goto out;
    connection = rl_alloc(sizeof *connection);
    *connection = (struct connection){.node = node,
                                      .session_id = rl_strdup(ticket->session_id),
                                      .client = rl_strdup(ticket->client_address),
                                      .control = s.control[0],
                                      .reports = s.reports[0],
                                      .recordings = s.recordings[0]};
    rc = rl_watch_start(node->agent->loop, connection->reports, RL_LOOP_READ, on_report, connection,
                        &connection->watch, err);
    if (rc == RL_OK)
        rc = rl_watch_start(node->agent->loop, connection->recordings, RL_LOOP_READ, on_recording,
                            connection, &connection->recordings_watch, err);
    if (rc != RL_OK)
        goto out;
    connection->pid = fork();
    if (connection->pid == 0)
        node_child_main(
            node->agent, ticket,
            &(struct node_child_fds){s.stream[1], s.control[1], s.reports[1], s.recordings[1]});
    if (connection->pid < 0) {
        rc = rl_fail_errno(err, RL_E_EXHAUSTED, "no process for another connection");
        goto out;
    }
    connection->next = node->connections;
    node->connections = connection;
    node->count++;
    *fd = s.stream[0];
    s.stream[0] = s.control[0] = s.reports[0] = s.recordings[0] = -1;
    connection = NULL;
out:
    if (connection) {
        s.control[0] = s.reports[0] = s.recordings[0] = -1; /* the connection's */
        connection_free(connection);
    }
    close_sockets(&s);
    return rc;
}

/* As a container's first process it inherits what sessions have left behind. One's own sessions are
 * left for node_reap(), which is called again for each. */
static void reap_orphans(const struct node *node)
{
    for (;;) {
        siginfo_t ended = {.si_pid = 0};
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || !ended.si_pid)
            return;
        for (const struct connection *c = node->connections; c; c = c->next)
            if (c->pid == ended.si_pid)
                return;
        waitpid(ended.si_pid, NULL, WNOHANG);
    }
}

void node_reap(struct node *node)
{
    for (struct connection **at = &node->connections; *at;) {
        struct connection *connection = *at;
        if (waitpid(connection->pid, NULL, WNOHANG) != connection->pid) {
            at = &connection->next;
            continue;
        }
        if (connection->watch)
            on_report(connection, connection->reports, RL_LOOP_READ);
        if (connection->recordings_watch)
            read_recordings(connection, true);
        recordings_session_gone(node->agent->recordings, connection->session_id);
        events_session_gone(node->agent, connection->session_id);
        *at = connection->next;
        if (--node->count == 0)
            agent_rest_soon(node->agent);
        connection_free(connection);
    }
    if (getpid() == 1)
        reap_orphans(node);
}

void node_policy_changed(struct node *node)
{
    struct rl_error err;
    for (struct connection *c = node->connections; c; c = c->next) {
        if (!c->guest || c->is_ending || guest_check(c->guest, &err) == RL_OK)
            continue;
        rl_log_info("a session is ended", RL_TEXT("session_id", c->session_id),
                    RL_TEXT("reason", err.message));
        c->is_ending = rl_sshd_control_end(c->control, err.message, NULL) == RL_OK;
    }
}

void node_end_all(struct node *node, const char *message)
{
    for (struct connection *c = node->connections; c; c = c->next)
        rl_sshd_control_end(c->control, message, NULL);
}

void node_end_session(struct node *node, const char *session_id, const char *message)
{
    for (struct connection *c = node->connections; c; c = c->next)
        if (strcmp(c->session_id, session_id) == 0)
            rl_sshd_control_end(c->control, message, NULL);
}

void node_wait(struct node *node, uint32_t grace_ms)
{
    struct rl_loop *loop = node->agent->loop;
    uint64_t until_ms = rl_loop_now_ms(loop) + grace_ms;
    while (node->count && rl_loop_now_ms(loop) < until_ms)
        rl_loop_turn(loop, 50);
}

size_t node_connections(const struct node *node)
{
    return node->count;
}
