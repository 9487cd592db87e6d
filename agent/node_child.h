/* node_child: the forked child's side: it becomes the monitor of one connection. */
#ifndef RL_AGENT_NODE_CHILD_H
#define RL_AGENT_NODE_CHILD_H

#include "agent.h"

/** The child's ends of its sockets. */
struct node_child_fds {
    int stream, control, reports, recordings;
};

/** Keeps only these descriptors, serves the connection, ends the process. */
_Noreturn void node_child_main(struct agent *agent, const Pb__Ticket *ticket,
                               const struct node_child_fds *fds);

#endif
