/* file: opening, reading, writing. Regular files only, and /dev/null: what a device or a FIFO does
 * when it is opened is nothing that a file copy should do, and it could be waited for for ever. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Of OPEN. Source: draft-ietf-secsh-filexfer-02, 6.3 */
enum { FXF_READ = 1, FXF_WRITE = 2, FXF_APPEND = 4, FXF_CREAT = 8, FXF_TRUNC = 16, FXF_EXCL = 32 };

#define MODE_DEFAULT 0666u
#define MODE_BITS 07777u

static int open_flags(uint32_t asked)
{
    int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    if ((asked & FXF_READ) && (asked & FXF_WRITE))
        flags |= O_RDWR;
    else
        flags |= asked & FXF_WRITE ? O_WRONLY : O_RDONLY;
    flags |= asked & FXF_APPEND ? O_APPEND : 0;
    flags |= asked & FXF_CREAT ? O_CREAT : 0;
    flags |= asked & FXF_TRUNC ? O_TRUNC : 0;
    flags |= asked & FXF_EXCL ? O_EXCL : 0;
    return flags;
}

static int why_not(const struct stat *st)
{
    if (S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3)))
        return 0;
    return S_ISDIR(st->st_mode) ? EISDIR : EACCES;
}

/* Looked at before it is opened, since that alone can do something; and after, since it may have
 * become another one in between. A descriptor, or -1 with errno. */
static int open_at(const struct place *place, int flags, mode_t mode)
{
    struct stat st;
    if (fstatat(place->dir, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(st.st_mode) &&
        why_not(&st)) {
        errno = why_not(&st);
        return -1;
    }
    int fd = openat(place->dir, place->name, flags, mode);
    if (fd < 0)
        return -1;
    int error = fstat(fd, &st) == 0 ? why_not(&st) : errno;
    if (!error)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

static int open_path(const struct rl_sftp_server *s, const char *path, uint32_t asked, mode_t mode)
{
    struct place place;
    /* O_EXCL takes a link for something that is there. */
    if (!rl_sftp_place_find(s, path, asked & FXF_EXCL ? NO_FOLLOW : FOLLOW, &place))
        return -1;
    int fd = open_at(&place, open_flags(asked), mode);
    rl_sftp_place_close(&place);
    return fd;
}

static void open_file(struct rl_sftp_server *s, const char *path, uint32_t asked, mode_t mode)
{
    bool is_for_writing = asked & (FXF_WRITE | FXF_APPEND | FXF_CREAT | FXF_TRUNC);
    struct handle *h = rl_sftp_handle_take(s);
    int fd = h ? open_path(s, path, asked, mode) : -1;
    if (fd < 0) {
        int error = errno;
        if (h)
            rl_sftp_handle_close(s, h);
        rl_sftp_tell(s, is_for_writing ? RL_SFTP_WRITE : RL_SFTP_READ, error, path, "");
        rl_sftp_reply_errno(s, error);
        return;
    }
    h->fd = fd;
    h->is_for_writing = is_for_writing;
    h->appends = asked & FXF_APPEND;
    h->path = s->config.tell ? rl_sftp_real_path(fd, "") : NULL;
    rl_sftp_reply_handle(s, h);
}

void rl_sftp_open(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    uint32_t asked = rl_cursor_u32(c);
    struct attributes a;
    if (!rl_sftp_read_attributes(c, &a))
        rl_sftp_reply_malformed(s);
    else
        open_file(s, path, asked, (a.flags & ATTR_MODE ? a.mode : MODE_DEFAULT) & MODE_BITS);
    free(path);
}

void rl_sftp_close(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (h)
        rl_sftp_reply_errno(s, rl_sftp_handle_close(s, h));
}

/* The file's bytes go where the reply is put together. */
static ssize_t read_into(struct rl_sftp_server *s, const struct handle *h, uint64_t offset,
                         uint32_t most)
{
    uint8_t *room = rl_buf_reserve(s->out, most);
    if (!room) {
        errno = ENOMEM;
        return -1;
    }
    return pread(h->fd, room, most, (off_t)offset);
}

void rl_sftp_read(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (!h)
        return;
    uint64_t offset = rl_cursor_u64(c);
    uint32_t most = rl_cursor_u32(c);
    if (c->failed || h->directory) {
        rl_sftp_reply_malformed(s);
        return;
    }
    if (most > DATA_BYTES_MAX)
        most = DATA_BYTES_MAX;
    size_t at = rl_sftp_begin(s, FXP_DATA);
    size_t length_at = s->out->n;
    rl_buf_put_u32(s->out, 0);
    ssize_t n = read_into(s, h, offset, most);
    if (n <= 0) {
        int error = errno;
        s->out->n = at;
        if (n == 0 && most > 0)
            rl_sftp_reply_status(s, FX_EOF, "end of file");
        else
            rl_sftp_reply_errno(s, n < 0 ? error : EINVAL);
        return;
    }
    h->bytes_read += (uint64_t)n;
    s->out->n = length_at;
    rl_buf_put_u32(s->out, (uint32_t)n);
    s->out->n += (size_t)n;
    rl_sftp_end(s, at);
}

/* errno, or 0. What was written before the disk was full counts. */
static int write_all(struct handle *h, struct rl_span data, uint64_t offset)
{
    while (data.n) {
        ssize_t n = h->appends ? write(h->fd, data.p, data.n)
                               : pwrite(h->fd, data.p, data.n, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        h->bytes_written += (uint64_t)n;
        offset += (uint64_t)n;
        data = RL_SPAN(data.p + n, data.n - (size_t)n);
    }
    return 0;
}

void rl_sftp_write(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (!h)
        return;
    uint64_t offset = rl_cursor_u64(c);
    struct rl_span data = rl_cursor_string(c);
    if (c->failed || h->directory)
        rl_sftp_reply_malformed(s);
    else
        rl_sftp_reply_errno(s, write_all(h, data, offset));
}
