/* transport: the room that faces the network: libssh, no host key, no user id of value, no files.
 * It holds nothing that is worth stealing and is believed in nothing; see sshd.h. */
#ifndef RL_SSHD_TRANSPORT_H
#define RL_SSHD_TRANSPORT_H

#include <stdbool.h>

/** Runs the transport; the process ends with the value. */
int rl_sshd_transport_main(int argc, char **argv);

/** For the first line of main(): when the program was started as one of the rooms of the SSH
 * server (by argv[0]), runs it, stores its exit status and says true. */
bool rl_sshd_room(int argc, char **argv, int *status);

#endif
