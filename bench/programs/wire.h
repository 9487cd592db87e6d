/* wire: one connection to the target by one of the ways that are compared. Calls wait. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include "connect.h"

enum way_kind {
    WAY_TCP,    /* bytes as they are */
    WAY_TLS,    /* TLS that the peer ends */
    WAY_CONNECT /* remoteler-connect, as the user of TSH_HOME */
};

struct way {
    enum way_kind kind;
    const char *address; /* HOST:PORT; a node's name */
    SSL_CTX *tls;
    struct tsh_profile profile;
};

/** "tcp", "tls" or "connect". Ends the program with a message when it can not be had. */
void way_open(struct way *way, const char *kind, const char *address);

struct wire {
    struct tsh_connection c; /* ssl NULL: bytes as they are */
};
/** Connected, and the target told what it is for (one line, without its end). */
void wire_open(struct wire *wire, const struct way *way, const char *purpose);
/** At least one byte; 0 at the end or when it broke. */
size_t wire_read(struct wire *wire, void *to, size_t room);
bool wire_write(struct wire *wire, const void *from, size_t n);
/** What waits in a read or a write of another thread returns from it. */
void wire_cut(struct wire *wire);
void wire_close(struct wire *wire);

#endif
