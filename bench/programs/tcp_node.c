/* tcp_node: an agent in all but its node: whoever comes through the tunnel gets a connection to one
 * TCP address instead of an SSH server. So the tunnel can be measured by itself, and the product
 * needs no such mode. It takes the flags of `remoteler start`; RL_BENCH_TARGET is HOST:PORT.
 */
#include "node.h"

#include "dial/dial.h"

#include <signal.h>
#include <stdlib.h>

#define DIAL_MS 2000 /* the target is on this machine */

struct node {
    const char *target;
};

rl_code node_create(struct agent *agent, struct node **out, struct rl_error *err)
{
    (void)agent;
    const char *target = getenv("RL_BENCH_TARGET");
    if (!target)
        return rl_fail(err, RL_E_INVAL, "RL_BENCH_TARGET is not set");
    *out = rl_alloc(sizeof **out);
    (*out)->target = target;
    return RL_OK;
}

void node_free(struct node **node)
{
    free(*node);
    *node = NULL;
}

rl_code node_serve(struct node *node, const Pb__Ticket *ticket, int *fd, struct rl_error *err)
{
    (void)ticket;
    return rl_dial_blocking(node->target, DIAL_MS, fd, err);
}

void node_reap(struct node *node)
{
    (void)node;
}

void node_policy_changed(struct node *node)
{
    (void)node; /* what it serves is no user's */
}

void node_end_all(struct node *node, const char *message)
{
    (void)node;
    (void)message;
}

void node_wait(struct node *node, uint32_t grace_ms)
{
    (void)node;
    (void)grace_ms;
}

void node_end_session(struct node *node, const char *session_id, const char *message)
{
    (void)node;
    (void)session_id;
    (void)message;
}

void node_read_recordings(struct node *node)
{
    (void)node;
}

size_t node_connections(const struct node *node)
{
    (void)node;
    return 0;
}

int main(int argc, char **argv)
{
    return agent_start(argc, argv);
}
