#include "netwatch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SETTLE_MS 1000 /* a change comes in many messages */

struct netwatch {
    int fd;
    struct rl_watch *watch;
    struct rl_timer *settle;
    void (*changed)(void *context);
    void *context;
};

static void on_settled(void *context)
{
    struct netwatch *netwatch = context;
    netwatch->changed(netwatch->context);
}

static void on_readable(void *context, int fd, unsigned events)
{
    (void)events;
    struct netwatch *netwatch = context;
    char ignored[8192];
    while (recv(fd, ignored, sizeof ignored, MSG_DONTWAIT) > 0) {
    }
    if (!rl_timer_is_armed(netwatch->settle))
        rl_timer_arm(netwatch->settle, SETTLE_MS);
}

rl_code netwatch_create(struct rl_loop *loop, void (*changed)(void *context), void *context,
                        struct netwatch **out, struct rl_error *err)
{
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | RTMGRP_LINK,
    };
    struct netwatch *netwatch = rl_alloc(sizeof *netwatch);
    *netwatch = (struct netwatch){.changed = changed, .context = context};
    netwatch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    rl_code rc = RL_OK;
    if (netwatch->fd < 0 ||
        bind(netwatch->fd, (const struct sockaddr *)&address, sizeof address) != 0)
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "network changes can not be watched");
    if (rc == RL_OK)
        rc = rl_watch_start(loop, netwatch->fd, RL_LOOP_READ, on_readable, netwatch,
                            &netwatch->watch, err);
    netwatch->settle = rl_timer_create(loop, on_settled, netwatch);
    if (rc != RL_OK) {
        netwatch_free(&netwatch);
        return rc;
    }
    *out = netwatch;
    return RL_OK;
}

void netwatch_free(struct netwatch **netwatch)
{
    if (!*netwatch)
        return;
    rl_watch_stop(&(*netwatch)->watch);
    rl_timer_free(&(*netwatch)->settle);
    if ((*netwatch)->fd >= 0)
        close((*netwatch)->fd);
    free(*netwatch);
    *netwatch = NULL;
}
