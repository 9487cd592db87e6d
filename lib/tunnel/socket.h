/* socket: a connected byte stream on the loop, with or without TLS: what a user, a web server's
 * socket pair or a local program looks like to whoever moves bytes. Reading and writing never wait;
 * what could not be done is told when it can be, once.
 */
#ifndef RL_TUNNEL_SOCKET_H
#define RL_TUNNEL_SOCKET_H

#include "loop/loop.h"

#include <openssl/ssl.h>
#include <sys/types.h>
#include <sys/uio.h>

struct rl_socket;

#define RL_SOCKET_WAIT (-1)   /* not now: `ready` comes when it may be tried again */
#define RL_SOCKET_BROKEN (-2) /* never again: reset, cut off, or the peer is gone */

/** What was refused with RL_SOCKET_WAIT may be tried again. May free the socket. */
typedef void (*rl_socket_ready_fn)(void *context, bool readable, bool writable);

/** Takes fd (non-blocking) and ssl (after its handshake; NULL: plain bytes); on error both stay the
 * caller's. `fn` may be NULL until rl_socket_set_ready(). Owns: *out by rl_socket_close(). */
rl_code rl_socket_create(struct rl_loop *loop, int fd, SSL *ssl, rl_socket_ready_fn fn,
                         void *context, struct rl_socket **out, struct rl_error *err);
void rl_socket_set_ready(struct rl_socket *socket, rl_socket_ready_fn fn, void *context);

/** With TLS: what is written in a turn of the loop goes out at its end, several records by one
 * system call, and several are read by one. For an SSL of lib/tls. */
void rl_socket_gather(struct rl_socket *socket);
/** Gathered bytes wait for the peer to take others: closing now would lose them. When they are out,
 * `ready` says that the socket is writable. */
bool rl_socket_has_unsent(const struct rl_socket *socket);

/** Bytes read, at least 1; 0 at the end of what the peer sends; or one of the above. */
ssize_t rl_socket_read(struct rl_socket *socket, uint8_t *to, size_t room);
/** The same into several places, of a plain socket. */
ssize_t rl_socket_readv(struct rl_socket *socket, const struct iovec *places, int count);
/** Bytes written, at least 1 of n > 0; or one of the above. After RL_SOCKET_WAIT the next write
 * begins with the same bytes, and no fewer of them. */
ssize_t rl_socket_write(struct rl_socket *socket, const uint8_t *from, size_t n);
/** The same from several places, to a plain socket. When it takes less than all, it is to be waited
 * for, as after RL_SOCKET_WAIT. */
ssize_t rl_socket_writev(struct rl_socket *socket, struct iovec *places, size_t count);
/** A write was refused, and `ready` has not come yet: another would be refused too. */
bool rl_socket_is_full(const struct rl_socket *socket);
/** The same between a plain socket and a pipe, so that the bytes never leave the kernel. `pipe` is
 * the end that is written, or read; the caller knows that it has room, or n bytes. The process
 * ignores SIGPIPE. Source: splice(2). */
ssize_t rl_socket_read_into_pipe(struct rl_socket *socket, int pipe, size_t room);
ssize_t rl_socket_write_from_pipe(struct rl_socket *socket, int pipe, size_t n);
bool rl_socket_is_plain(const struct rl_socket *socket);
/** Nothing more is written: the peer reads an end after what was written. */
void rl_socket_finish(struct rl_socket *socket);
int rl_socket_fd(const struct rl_socket *socket);
/** What is written already still arrives, but for what rl_socket_has_unsent(). Takes NULL, NULLs
 * the pointer. */
void rl_socket_close(struct rl_socket **socket);
/** The peer sees a broken connection, not an end: what it got is not all. */
void rl_socket_abort(struct rl_socket **socket);

#endif
