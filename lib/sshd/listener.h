/* listener: what the monitor and the room that listens have in common. */
#ifndef RL_SSHD_LISTENER_H
#define RL_SSHD_LISTENER_H

/** What is listened on; also what an accepted connection is opened as. */
enum listen_kind {
    LISTEN_TCP,   /* -R port: the loopback */
    LISTEN_UNIX,  /* -R path */
    LISTEN_AGENT, /* -A: a socket of our own choice */
};

#endif
