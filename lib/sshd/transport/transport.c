/* transport: sets libssh up, confines itself, then one poll loop for network, monitor and
 * sessions. */
#include "sshd/transport/transport.h"
#include "footprint/footprint.h"

#include "internal.h"
#include "sshd/confine.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION_TEXT "Remoteler" /* after "SSH-2.0-" */
#define KEY_EXCHANGES                                                                              \
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"        \
    "ecdh-sha2-nistp521"
#define FDS_MAX 384 /* three for each session, two for each forward, and those of the start */
#define POLL_MAX (2 + CHANNELS_MAX * 3)
#define TICK_MS 1000
#define ACTIVE_EVERY_MS 1000
#define FLUSH_MS 2000
#define NETWORK_STEPS_MAX 16
/* Free at the end of the heap, before the kernel gets it back: libssh's buffers grow and shrink. */
#define HEAP_KEPT_BYTES (1 << 20)

enum { NETWORK, MONITOR, FIRST_CHANNEL };

struct watch {
    struct channel *channel;
    bool is_sink;
    int source;
};

struct watched {
    struct pollfd fds[POLL_MAX];
    struct watch watches[POLL_MAX];
    nfds_t n;
};

static void watch(struct watched *w, int fd, int events, struct watch what)
{
    w->fds[w->n] = (struct pollfd){fd, (short)events, 0};
    w->watches[w->n++] = what;
}

static void watch_channel(struct watched *w, struct channel *c, bool client_takes_more)
{
    if (!c->has_started || c->is_opening)
        return;
    if (c->sink >= 0 && c->to_sink.n)
        watch(w, c->sink, POLLOUT, (struct watch){c, true, 0});
    if (!client_takes_more || ssh_channel_window_size(c->ssh) == 0)
        return;
    for (int i = 0; i < SOURCES; i++)
        if (c->sources[i] >= 0 && !c->to_client[i].n)
            watch(w, c->sources[i], POLLIN, (struct watch){c, false, i});
}

static bool step_channels(struct transport *t)
{
    bool any = false;
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct channel *c = t->channels[i];
        if (!c || (!c->ssh && !c->is_opening))
            continue;
        if (c->is_opening && !rl_forward_open_channel(c)) {
            rl_channel_free(t, i);
            continue;
        }
        any |= rl_channel_step(c);
        if (rl_channel_can_go(c))
            rl_channel_free(t, i);
    }
    return any;
}

/* libssh's write buffer is the queue towards the network: nothing is read from the sessions while
 * it holds something. */
static void watch_all(struct transport *t, struct watched *w)
{
    bool has_output = ssh_get_poll_flags(t->session) & SSH_WRITE_PENDING;
    w->n = 0;
    watch(w, RL_ROOM_FD_FIRST, POLLIN | (has_output ? POLLOUT : 0), (struct watch){0});
    watch(w, RL_ROOM_FD_SECOND, POLLIN, (struct watch){0});
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (t->channels[i])
            watch_channel(w, t->channels[i], !has_output);
}

static void pump(const struct watched *w)
{
    for (nfds_t i = FIRST_CHANNEL; i < w->n; i++) {
        if (!w->fds[i].revents)
            continue;
        if (w->watches[i].is_sink)
            rl_channel_pump_in(w->watches[i].channel);
        else
            rl_channel_pump_out(w->watches[i].channel, w->watches[i].source);
    }
}

static void tell_active(struct transport *t)
{
    uint64_t now = rl_transport_now_ms();
    if (!t->is_active || now - t->active_told_ms < ACTIVE_EVERY_MS)
        return;
    t->is_active = false;
    t->active_told_ms = now;
    rl_wire_begin(&t->message, RL_WIRE_ACTIVE);
    rl_monitor_tell(t);
}

static void tell_gone(struct transport *t, const char *why)
{
    rl_wire_begin(&t->message, RL_WIRE_GONE);
    rl_buf_put_string(&t->message.body, rl_span_of(why));
    rl_wire_send(RL_ROOM_FD_SECOND, &t->message);
}

/* The node ends the connection: every session is told why, and so is the client. */
static void end_connection(struct transport *t)
{
    char line[RL_SSHD_MESSAGE_BYTES_MAX + 4];
    int n = snprintf(line, sizeof line, "\r\n%s\r\n", t->end_text);
    for (size_t i = 0; i < CHANNELS_MAX; i++) {
        struct channel *c = t->channels[i];
        if (c && c->ssh && c->has_started && !c->is_forward && *t->end_text)
            ssh_channel_write_stderr(c->ssh, line, (uint32_t)n);
    }
    ssh_blocking_flush(t->session, FLUSH_MS);
    if (*t->end_text)
        ssh_session_set_disconnect_message(t->session, t->end_text);
    ssh_disconnect(t->session);
}

static bool is_over(struct transport *t)
{
    return !ssh_is_connected(t->session) ||
           (ssh_get_status(t->session) & (SSH_CLOSED | SSH_CLOSED_ERROR));
}

/* libssh takes a few KiB at each step: several, when more was read. */
static bool serve_network(struct transport *t)
{
    for (int i = 0; i < NETWORK_STEPS_MAX; i++) {
        if (ssh_event_dopoll(t->event, 0) == SSH_ERROR)
            return false;
        if (!rl_network_has_more())
            break;
    }
    return true;
}

static void loop(struct transport *t)
{
    struct watched *w = rl_alloc(sizeof *w);
    while (!is_over(t)) {
        bool any = step_channels(t);
        if (t->is_ending || t->is_refused) {
            end_connection(t);
            break;
        }
        tell_active(t);
        watch_all(t, w);
        if (rl_network_poll(w->fds, w->n, any ? 0 : TICK_MS) < 0) {
            if (errno != EINTR)
                break; /* it would be refused again and again */
            continue;
        }
        if (w->fds[MONITOR].revents && !rl_monitor_listen(t))
            break;
        pump(w);
        if (!serve_network(t))
            break;
    }
    free(w);
}

static bool exchange_keys(struct transport *t)
{
    int rc;
    while ((rc = ssh_handle_key_exchange(t->session)) == SSH_AGAIN) {
        struct pollfd p = {RL_ROOM_FD_FIRST, POLLIN, 0};
        rl_network_poll(&p, 1, TICK_MS); /* the monitor's login time ends it */
    }
    return rc == SSH_OK;
}

static bool set_bind(ssh_bind bind, ssh_key key)
{
    bool process_config = false;
    return bind &&
           ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &process_config) == 0 &&
           ssh_bind_options_set(bind, SSH_BIND_OPTIONS_BANNER, VERSION_TEXT) == 0 &&
           ssh_bind_options_set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, KEY_EXCHANGES) == 0 &&
           ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key) == 0;
}

/* What the monitor says first: who this host is, and the cookie to use. */
static bool take_hello(struct transport *t)
{
    if (rl_wire_receive(RL_ROOM_FD_SECOND, &t->message, 0) != RL_WIRE_GOT ||
        rl_wire_type(&t->message) != RL_WIRE_HELLO)
        return false;
    struct rl_cursor c = rl_wire_fields(&t->message);
    struct rl_span public_key = rl_cursor_string(&c);
    struct rl_span certificate = rl_cursor_string(&c);
    struct rl_span cookie = rl_cursor_string(&c);
    return rl_cursor_done(&c) && rl_shim_init(t, public_key, certificate, cookie);
}

static bool accept_connection(struct transport *t, ssh_bind bind)
{
    if (ssh_bind_accept_fd(bind, t->session, RL_ROOM_FD_FIRST) != SSH_OK)
        return false;
    t->callbacks = (struct ssh_server_callbacks_struct){
        .userdata = t,
        .auth_pubkey_function = rl_auth_public_key,
        .channel_open_request_session_function = rl_session_open,
    };
    ssh_callbacks_init(&t->callbacks);
    ssh_set_server_callbacks(t->session, &t->callbacks);
    ssh_set_message_callback(t->session, rl_forward_message, t);
    ssh_set_auth_methods(t->session, SSH_AUTH_METHOD_PUBLICKEY);
    ssh_set_blocking(t->session, 0);
    return true;
}

/* Everything that opens files comes before the confinement, everything from the network after. */
static int prepare(struct transport *t, const struct rl_confine *confine, ssh_bind *bind)
{
    int one = 1;
    setsockopt(RL_ROOM_FD_FIRST, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* if it is TCP */
    signal(SIGPIPE, SIG_IGN);
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
    rl_network_start();
    rl_wire_init(&t->message);
    ssh_key key = NULL; /* libssh insists on one; nothing is ever signed with it */
    if (ssh_init() != SSH_OK || ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
        return 80;
    *bind = ssh_bind_new();
    t->session = ssh_new();
    t->event = ssh_event_new();
    if (!set_bind(*bind, key) || !t->session || !t->event)
        return 81;
    rl_footprint_trim();
    int step = rl_confine(confine);
    if (step)
        return step;
    return take_hello(t) ? 0 : 82;
}

int rl_sshd_transport_main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct rl_confine confine = {
        .profile = RL_CONFINE_TRANSPORT,
        .empty_dir = *argv[1] ? argv[1] : NULL,
        .uid = (uid_t)strtoul(argv[2], NULL, 10),
        .fds_max = FDS_MAX,
    };
    struct transport *t = rl_alloc(sizeof *t);
    ssh_bind bind = NULL;
    int step = prepare(t, &confine, &bind);
    if (step == 0 && !accept_connection(t, bind))
        step = 83;
    if (step)
        _exit(step);
    if (exchange_keys(t)) {
        ssh_event_add_session(t->event, t->session);
        loop(t);
    }
    tell_gone(t, ssh_get_error(t->session));
    _exit(0); /* libssh's own taking down has nothing left to do that the kernel would not */
}

bool rl_sshd_room(int argc, char **argv, int *status)
{
    if (argc < 1)
        return false;
    if (strcmp(argv[0], RL_SSHD_TRANSPORT_NAME) == 0)
        *status = rl_sshd_transport_main(argc, argv);
    else if (strcmp(argv[0], RL_SSHD_RELAY_NAME) == 0)
        *status = rl_sshd_relay_main(argc, argv);
    else if (strcmp(argv[0], RL_SSHD_CONNECT_NAME) == 0)
        *status = rl_sshd_connect_main(argc, argv);
    else if (strcmp(argv[0], RL_SSHD_LISTEN_NAME) == 0)
        *status = rl_sshd_listen_main(argc, argv);
    else if (strcmp(argv[0], RL_SSHD_SFTP_NAME) == 0)
        *status = rl_sshd_sftp_main(argc, argv);
    else
        return false;
    return true;
}
