/* connect: remoteler-connect: TLS to the proxy with the user's certificate, a request that names a
 * target, an answer, then raw bytes. docs/protocols/connect.md.
 */
#ifndef TSH_CONNECT_H
#define TSH_CONNECT_H

#include "profile.h"
#include "target.h"

#include <openssl/ssl.h>

/* Of data in a TLS record. It fits one frame of the tunnel: the rest of a larger record would
 * become a frame of its own at each hop. */
#define TSH_RECORD_BYTES 16320

struct tsh_connection {
    SSL *ssl;
    int fd;
    struct rl_tls_client *tls;
    bool trust_is_old;      /* the cluster trusts other authorities than the profile knows */
    bool leaf_trust_is_old; /* and so the leaf */
};

/** `kind`: "ssh"; of a leaf also "auth" and "audit", without a name. Errors: the proxy's own words
 * and code, with the leaf's name. */
rl_code tsh_connect(const struct tsh_profile *profile, const char *kind,
                    const struct tsh_target *target, struct tsh_connection *out,
                    struct rl_error *err);
/** Before the handshake: a record by one system call, and records that fit frames. tsh_connect does
 * it. */
void tsh_connection_set_sizes(struct tsh_connection *connection);
/** Bytes both ways until both sides are done; half-close is passed on. */
rl_code tsh_connection_relay(struct tsh_connection *connection, int in, int out,
                             struct rl_error *err);
/** Takes one that is all zeros but for fd -1. */
void tsh_connection_close(struct tsh_connection *connection);

#endif
