/* listen: a thread that waits for notifications, and for connections to wait on. */
#include "store/listen.h"

#include "store/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FIRST_PAUSE_MS 100
#define PAUSE_MAX_MS 2000
#define CHANNEL_BYTES_MAX 63

struct rl_listener {
    struct rl_store *store;
    char *listen_sql;
    rl_hint_fn fn;
    void *context;
    int stop_fd; /* readable: end */
    pthread_t thread;
    PGconn *pg;
};

/* Waits until the connection has something to say (true) or it is time to end or to give up. */
static bool wait_for_news(struct rl_listener *listener)
{
    struct pollfd fds[] = {{.fd = listener->stop_fd, .events = POLLIN},
                           {.fd = PQsocket(listener->pg), .events = POLLIN}};
    int n;
    do
        n = poll(fds, RL_COUNT(fds), -1);
    while (n < 0 && errno == EINTR);
    return n > 0 && !fds[0].revents && PQconsumeInput(listener->pg);
}

/* Waits for at most `ms`; true when it is time to end. */
static bool is_stopped_within(const struct rl_listener *listener, int ms)
{
    struct pollfd fd = {.fd = listener->stop_fd, .events = POLLIN};
    return poll(&fd, 1, ms) > 0;
}

static bool start_listening(struct rl_listener *listener)
{
    if (rl_store_connect_pg(listener->store, &listener->pg, NULL) != RL_OK)
        return false;
    PGresult *result = PQexec(listener->pg, listener->listen_sql);
    bool is_good = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return is_good;
}

static void pass_on(struct rl_listener *listener)
{
    PGnotify *notice;
    while ((notice = PQnotifies(listener->pg)) != NULL) {
        listener->fn(listener->context, notice->extra);
        PQfreemem(notice);
    }
}

static void *run(void *context)
{
    struct rl_listener *listener = context;
    int pause_ms = 0;
    while (!is_stopped_within(listener, pause_ms)) {
        if (start_listening(listener)) {
            pause_ms = 0;
            listener->fn(listener->context, NULL);
            do
                pass_on(listener); /* what came with the answer to LISTEN too */
            while (wait_for_news(listener));
        }
        PQfinish(listener->pg);
        listener->pg = NULL;
        pause_ms = pause_ms == 0 ? FIRST_PAUSE_MS : pause_ms * 2;
        if (pause_ms > PAUSE_MAX_MS)
            pause_ms = PAUSE_MAX_MS;
    }
    return NULL;
}

static bool is_channel(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= CHANNEL_BYTES_MAX && !(name[0] >= '0' && name[0] <= '9') &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

/* Signals are the loop's: the thread takes none. */
static int start_thread(struct rl_listener *listener)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&listener->thread, NULL, run, listener);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void destroy(struct rl_listener *listener)
{
    if (listener->stop_fd >= 0)
        close(listener->stop_fd);
    free(listener->listen_sql);
    free(listener);
}

rl_code rl_listener_start(struct rl_store *store, const char *channel, rl_hint_fn fn, void *context,
                          struct rl_listener **out, struct rl_error *err)
{
    if (!is_channel(channel))
        return rl_fail(err, RL_E_INVAL, "\"%.63s\" is not the name of a channel: a-z, 0-9 and _",
                       channel);
    struct rl_listener *listener = rl_alloc(sizeof *listener);
    *listener = (struct rl_listener){.store = store, .fn = fn, .context = context};
    listener->listen_sql = rl_sprintf("LISTEN \"%s\"", channel);
    listener->stop_fd = eventfd(0, EFD_CLOEXEC);
    rl_code rc = RL_OK;
    if (listener->stop_fd < 0)
        rc = rl_fail_errno(err, RL_E_EXHAUSTED, "listening to PostgreSQL");
    int error = rc == RL_OK ? start_thread(listener) : 0;
    if (error)
        rc = rl_fail(err, RL_E_EXHAUSTED, "listening to PostgreSQL: %s", strerror(error));
    if (rc != RL_OK) {
        destroy(listener);
        return rc;
    }
    *out = listener;
    return RL_OK;
}

void rl_listener_stop(struct rl_listener **listener)
{
    if (!listener || !*listener)
        return;
    RL_ASSERT(eventfd_write((*listener)->stop_fd, 1) == 0);
    pthread_join((*listener)->thread, NULL);
    destroy(*listener);
    *listener = NULL;
}
