/* run: the service from start to end. */
#ifndef RL_AUTH_RUN_H
#define RL_AUTH_RUN_H

/** The command: `remoteler-auth run`. */
int rl_run_main(int argc, char **argv);

#endif
