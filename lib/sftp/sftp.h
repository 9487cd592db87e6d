/* sftp: a server of SFTP version 3 with OpenSSH's extensions, for one user's files.
 *
 * It runs under that user's id and grants nothing of its own. Each request looks its path up once:
 * to a descriptor of the directory and a last name, or of the thing itself; what is done is done to
 * that, so what is renamed or replaced by a symbolic link meanwhile is not met in its place.
 */
#ifndef RL_SFTP_H
#define RL_SFTP_H

#include "bytes/buf.h"

#define RL_SFTP_HANDLES_MAX 512
#define RL_SFTP_PACKET_BYTES_MAX (256 * 1024) /* OpenSSH's own limit */
#define RL_SFTP_PATH_BYTES_MAX 4096

/** What is worth telling. Looking at attributes is not. */
enum rl_sftp_kind {
    RL_SFTP_READ,  /* an open file was closed: bytes_read, bytes_written */
    RL_SFTP_WRITE, /* the same, of one that was open for writing */
    RL_SFTP_LIST,  /* a directory was opened */
    RL_SFTP_REMOVE,
    RL_SFTP_RENAME, /* path, target */
    RL_SFTP_MKDIR,
    RL_SFTP_RMDIR,
    RL_SFTP_SYMLINK,  /* path: the link; target: what it says */
    RL_SFTP_HARDLINK, /* path: what there was; target: its new name */
    RL_SFTP_SETSTAT,
};
#define RL_SFTP_KINDS (RL_SFTP_SETSTAT + 1)

struct rl_sftp_operation {
    enum rl_sftp_kind kind;
    int error;                 /* errno of what failed; 0: done */
    const char *path, *target; /* absolute where that could be found out; "" for none; any bytes */
    uint64_t bytes_read, bytes_written;
};

struct rl_sftp_config {
    int in, out; /* blocking streams */
    /** Paths are looked up beneath this directory and do not leave it, if it is not -1. */
    int root_fd;
    const char *home; /* of "~" */
    void *ctx;
    void (*tell)(void *ctx, const struct rl_sftp_operation *operation); /* may be NULL */
};

/** The operation's name in events: "read", "rename". */
const char *rl_sftp_kind_name(enum rl_sftp_kind kind);

/** Serves until the client closes `in`; then all handles are closed.
 * Errors: RL_E_INVAL: what came is not SFTP; RL_E_UNAVAILABLE: the client went away */
rl_code rl_sftp_serve(const struct rl_sftp_config *config, struct rl_error *err);

/** The same one request at a time, without streams: for tests and fuzzing. */
struct rl_sftp_server;
struct rl_sftp_server *rl_sftp_create(const struct rl_sftp_config *config);
void rl_sftp_free(struct rl_sftp_server **server);
/** `packet` without its length; the reply, with its length, is appended to `out`.
 * Errors: RL_E_INVAL: the connection is to be ended */
rl_code rl_sftp_request(struct rl_sftp_server *server, struct rl_span packet, struct rl_buf *out,
                        struct rl_error *err);
#define RL_SFTP_REPLY_BYTES_MAX (RL_SFTP_PACKET_BYTES_MAX + 4096)

#endif
