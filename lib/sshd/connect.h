/* connect: which addresses a user's forwarding may not reach. */
#ifndef RL_SSHD_CONNECT_H
#define RL_SSHD_CONNECT_H

#include <stdbool.h>
#include <sys/socket.h>

/** Link-local, multicast, unspecified, and the metadata services of the clouds, in IPv4's and
 * IPv6's clothes alike. Anything but IP is forbidden. */
bool rl_connect_is_forbidden(const struct sockaddr *address);

#endif
