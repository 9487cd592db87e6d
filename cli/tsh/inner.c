#include "inner.h"

#include "connect.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct tsh_inner {
    struct tsh_connection connection;
    int socket; /* our end */
    pthread_t carrier;
};

static void *carry(void *context)
{
    struct tsh_inner *inner = context;
    (void)tsh_connection_relay(&inner->connection, inner->socket, inner->socket, NULL);
    shutdown(inner->socket, SHUT_RDWR); /* whoever has the other end learns that it is over */
    return NULL;
}

/* Signals are the command's; a write to an end that is gone is an error and no signal. */
static int start_carrier(struct tsh_inner *inner)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int problem = pthread_create(&inner->carrier, NULL, carry, inner);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return problem;
}

rl_code tsh_inner_open(const struct tsh_profile *profile, const char *cluster, const char *kind,
                       struct tsh_inner **out, int *fd, struct rl_error *err)
{
    int ends[2];
    char none[] = "", *name = rl_strdup(cluster);
    const struct tsh_target target = {.cluster = name, .name = none};
    struct tsh_inner *inner = rl_alloc(sizeof *inner);
    *inner = (struct tsh_inner){.connection = {.fd = -1}};
    rl_code rc = tsh_connect(profile, kind, &target, &inner->connection, err);
    free(name);
    if (rc != RL_OK) {
        free(inner);
        return rc;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "a socket pair");
        goto out;
    }
    inner->socket = ends[0];
    if (start_carrier(inner) != 0) {
        rc = rl_fail(err, RL_E_UNAVAILABLE, "this system gives no thread");
        close(ends[0]);
        close(ends[1]);
        goto out;
    }
    *fd = ends[1];
    *out = inner;
    return RL_OK;
out:
    tsh_connection_close(&inner->connection);
    free(inner);
    return rc;
}

void tsh_inner_close(struct tsh_inner **holder)
{
    struct tsh_inner *inner = *holder;
    if (!inner)
        return;
    shutdown(inner->connection.fd, SHUT_RD); /* the end of ours, which is closed, is still told */
    pthread_join(inner->carrier, NULL);
    close(inner->socket);
    tsh_connection_close(&inner->connection);
    free(inner);
    *holder = NULL;
}
