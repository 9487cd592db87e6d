/* node_child: the forked child's side: it becomes the monitor of one connection. */
#ifndef RL_AGENT_NODE_CHILD_H
#define RL_AGENT_NODE_CHILD_H

#include "agent.h"

/** Keeps only the three descriptors, serves the connection, ends the process. */
_Noreturn void node_child_main(struct agent *agent, const Pb__Ticket *ticket, int stream,
                               int control, int reports);

#endif
