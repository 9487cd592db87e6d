/* internal: what the SFTP server's files share. One process, one client. */
#ifndef RL_SFTP_INTERNAL_H
#define RL_SFTP_INTERNAL_H

#include "sftp/sftp.h"

#include <dirent.h>
#include <sys/stat.h>

/** Message types. Source: draft-ietf-secsh-filexfer-02, 3 */
enum {
    FXP_INIT = 1,
    FXP_VERSION,
    FXP_OPEN,
    FXP_CLOSE,
    FXP_READ,
    FXP_WRITE,
    FXP_LSTAT,
    FXP_FSTAT,
    FXP_SETSTAT,
    FXP_FSETSTAT,
    FXP_OPENDIR,
    FXP_READDIR,
    FXP_REMOVE,
    FXP_MKDIR,
    FXP_RMDIR,
    FXP_REALPATH,
    FXP_STAT,
    FXP_RENAME,
    FXP_READLINK,
    FXP_SYMLINK,
    FXP_STATUS = 101,
    FXP_HANDLE,
    FXP_DATA,
    FXP_NAME,
    FXP_ATTRS,
    FXP_EXTENDED = 200,
    FXP_EXTENDED_REPLY,
};

/** Status codes: the same, 7. */
enum {
    FX_OK,
    FX_EOF,
    FX_NO_SUCH_FILE,
    FX_PERMISSION_DENIED,
    FX_FAILURE,
    FX_BAD_MESSAGE,
    FX_NO_CONNECTION,
    FX_CONNECTION_LOST,
    FX_OP_UNSUPPORTED,
};

#define VERSION 3u
/* What fits into a packet beside the other fields; OpenSSH says the same in its limits. */
#define DATA_BYTES_MAX (RL_SFTP_PACKET_BYTES_MAX - 1024)

/** Attributes: the same, 5. */
enum {
    ATTR_SIZE = 1,
    ATTR_OWNER = 2,
    ATTR_MODE = 4,
    ATTR_TIMES = 8,
    ATTR_EXTENDED = 1u << 31,
};

struct attributes {
    uint32_t flags;
    uint64_t size;
    uint32_t uid, gid, mode, accessed_s, modified_s;
};

/** An open file or directory. */
struct handle {
    bool is_used;
    uint32_t generation; /* an old name of a slot is not a new one's */
    int fd;              /* of a file; -1 */
    DIR *directory;      /* NULL: a file */
    bool is_for_writing, appends;
    char *path; /* as it is told */
    uint64_t bytes_read, bytes_written;
};

struct rl_sftp_server {
    struct rl_sftp_config config;
    bool has_begun;
    struct handle handles[RL_SFTP_HANDLES_MAX];
    size_t handles_n;
    uint32_t generation;
    /* the request that is being answered */
    uint32_t id;
    struct rl_buf *out;
};

/** A request's fields are read from c; the reply goes to s->out. False: no such request can be. */
typedef void request_handler(struct rl_sftp_server *s, struct rl_cursor *c);

/* ---- protocol.c ---- */
bool rl_sftp_read_attributes(struct rl_cursor *c, struct attributes *a);
void rl_sftp_put_attributes(struct rl_buf *out, const struct stat *st);
/** Starts a reply at s->out and returns where its length belongs. */
size_t rl_sftp_begin(struct rl_sftp_server *s, uint8_t type);
void rl_sftp_end(struct rl_sftp_server *s, size_t at);
void rl_sftp_reply_status(struct rl_sftp_server *s, uint32_t status, const char *message);
/** 0: done. */
void rl_sftp_reply_errno(struct rl_sftp_server *s, int error);
void rl_sftp_reply_malformed(struct rl_sftp_server *s);
void rl_sftp_reply_attributes(struct rl_sftp_server *s, const struct stat *st);
void rl_sftp_reply_name(struct rl_sftp_server *s, const char *name);

/* ---- handle.c ---- */
/** A free slot, or NULL with errno EMFILE. */
struct handle *rl_sftp_handle_take(struct rl_sftp_server *s);
void rl_sftp_reply_handle(struct rl_sftp_server *s, const struct handle *h);
/** The next field; NULL when it names none of ours: has been answered then. */
struct handle *rl_sftp_handle_read(struct rl_sftp_server *s, struct rl_cursor *c);
/** Closes, and tells of it. errno of the close, or 0. */
int rl_sftp_handle_close(struct rl_sftp_server *s, struct handle *h);

/* ---- path.c ---- */
struct place {
    int dir; /* O_PATH */
    char name[256];
};
enum follow { NO_FOLLOW, FOLLOW };
/** The next field as a path, on the heap; NULL when it is none: has been answered then. */
char *rl_sftp_path_read(struct rl_sftp_server *s, struct rl_cursor *c);
/** Looks `path` up to its directory and last name; FOLLOW: through symbolic links of that name,
 * even where they lead to nothing yet. False with errno. */
bool rl_sftp_place_find(const struct rl_sftp_server *s, const char *path, enum follow follow,
                        struct place *out);
void rl_sftp_place_close(struct place *place);
/** An O_PATH descriptor of what is at `path`; -1 with errno. */
int rl_sftp_place_open(const struct rl_sftp_server *s, const char *path, enum follow follow);
/** "/proc/self/fd/N": what an O_PATH descriptor cannot be used for goes by this name. */
#define FD_NAME_BYTES 32
void rl_sftp_fd_name(int fd, char out[FD_NAME_BYTES]);
/** Heap text: where the directory and name, or the descriptor (name ""), really are. */
char *rl_sftp_real_path(int fd, const char *name);

/* ---- operation.c ---- */
void rl_sftp_tell(struct rl_sftp_server *s, enum rl_sftp_kind kind, int error, const char *path,
                  const char *target);
/** What failed before its place was found, or has a place. Keeps errno. */
void rl_sftp_tell_place(struct rl_sftp_server *s, enum rl_sftp_kind kind, int error,
                        const struct place *place, const char *asked, const char *target);

/* ---- names.c: of users and groups, from the files ---- */
/** "drwxr-xr-x    2 root     root         4096 Jan  1 00:00 name", as ls -l has it. */
void rl_sftp_long_name(const char *name, const struct stat *st, char *out, size_t size);
/** "" when there is no such user, or group; valid until the next call. */
const char *rl_sftp_user_name(uint32_t id);
const char *rl_sftp_group_name(uint32_t id);
/** Heap text; NULL: no such user. */
char *rl_sftp_home_of(const char *user);

/* ---- requests ---- */
request_handler rl_sftp_open, rl_sftp_close, rl_sftp_read, rl_sftp_write;    /* file.c */
request_handler rl_sftp_opendir, rl_sftp_readdir;                            /* directory.c */
request_handler rl_sftp_stat, rl_sftp_lstat, rl_sftp_fstat, rl_sftp_setstat, /* attributes.c */
    rl_sftp_fsetstat, rl_sftp_lsetstat;
request_handler rl_sftp_remove, rl_sftp_mkdir, rl_sftp_rmdir, rl_sftp_rename, /* tree.c */
    rl_sftp_posix_rename, rl_sftp_symlink, rl_sftp_hardlink, rl_sftp_readlink, rl_sftp_realpath,
    rl_sftp_expand_path;
request_handler rl_sftp_extended; /* extended.c */
void rl_sftp_put_extensions(struct rl_buf *out);

#endif
