/* extended: OpenSSH's extensions (its PROTOCOL, 4), by name. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define NAMED_MAX 1024u /* users, and groups, of one request */

/* In the reply to statvfs. */
enum { VFS_READ_ONLY = 1, VFS_NO_SETUID = 2 };

static void reply_vfs(struct rl_sftp_server *s, const struct statvfs *v)
{
    const uint64_t fields[] = {v->f_bsize, v->f_frsize, v->f_blocks, v->f_bfree, v->f_bavail,
                               v->f_files, v->f_ffree,  v->f_favail, v->f_fsid};
    size_t at = rl_sftp_begin(s, FXP_EXTENDED_REPLY);
    for (size_t i = 0; i < RL_COUNT(fields); i++)
        rl_buf_put_u64(s->out, fields[i]);
    rl_buf_put_u64(s->out, (v->f_flag & ST_RDONLY ? VFS_READ_ONLY : 0) |
                               (v->f_flag & ST_NOSUID ? VFS_NO_SETUID : 0));
    rl_buf_put_u64(s->out, v->f_namemax);
    rl_sftp_end(s, at);
}

static void vfs_of(struct rl_sftp_server *s, int fd)
{
    struct statvfs v;
    if (fd >= 0 && fstatvfs(fd, &v) == 0)
        reply_vfs(s, &v);
    else
        rl_sftp_reply_errno(s, errno);
}

static void stat_vfs(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    int fd = rl_sftp_place_open(s, path, FOLLOW);
    vfs_of(s, fd);
    if (fd >= 0)
        close(fd);
    free(path);
}

static void fstat_vfs(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (h)
        vfs_of(s, h->directory ? dirfd(h->directory) : h->fd);
}

static void sync_file(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (!h)
        return;
    if (h->directory)
        rl_sftp_reply_status(s, FX_FAILURE, "the handle is a directory's");
    else
        rl_sftp_reply_errno(s, fsync(h->fd) == 0 ? 0 : errno);
}

static void limits(struct rl_sftp_server *s, struct rl_cursor *c)
{
    (void)c;
    size_t at = rl_sftp_begin(s, FXP_EXTENDED_REPLY);
    rl_buf_put_u64(s->out, RL_SFTP_PACKET_BYTES_MAX);
    rl_buf_put_u64(s->out, DATA_BYTES_MAX);
    rl_buf_put_u64(s->out, DATA_BYTES_MAX);
    rl_buf_put_u64(s->out, RL_SFTP_HANDLES_MAX);
    rl_sftp_end(s, at);
}

/* For each of the ids in the next field a name, "" where there is none, as one field. */
static bool put_names(struct rl_buf *out, struct rl_cursor *c, const char *(*name_of)(uint32_t id))
{
    struct rl_span field = rl_cursor_string(c);
    struct rl_cursor ids = rl_cursor_of(field);
    struct rl_buf names;
    if (c->failed || field.n % sizeof(uint32_t) || field.n > NAMED_MAX * sizeof(uint32_t))
        return false;
    rl_buf_init(&names, RL_SFTP_PACKET_BYTES_MAX / 2);
    while (ids.n)
        rl_buf_put_string(&names, rl_span_of(name_of(rl_cursor_u32(&ids))));
    rl_buf_put_string(out, rl_buf_span(&names));
    rl_buf_fini(&names);
    return true;
}

static void names_by_id(struct rl_sftp_server *s, struct rl_cursor *c)
{
    size_t at = rl_sftp_begin(s, FXP_EXTENDED_REPLY);
    bool ok = put_names(s->out, c, rl_sftp_user_name) && put_names(s->out, c, rl_sftp_group_name);
    if (ok) {
        rl_sftp_end(s, at);
        return;
    }
    s->out->n = at;
    rl_sftp_reply_malformed(s);
}

static const struct {
    const char *name, *version;
    request_handler *handle;
} extensions[] = {
    {"posix-rename@openssh.com", "1", rl_sftp_posix_rename},
    {"statvfs@openssh.com", "2", stat_vfs},
    {"fstatvfs@openssh.com", "2", fstat_vfs},
    {"hardlink@openssh.com", "1", rl_sftp_hardlink},
    {"fsync@openssh.com", "1", sync_file},
    {"lsetstat@openssh.com", "1", rl_sftp_lsetstat},
    {"limits@openssh.com", "1", limits},
    {"expand-path@openssh.com", "1", rl_sftp_expand_path},
    {"users-groups-by-id@openssh.com", "1", names_by_id},
};

void rl_sftp_put_extensions(struct rl_buf *out)
{
    for (size_t i = 0; i < RL_COUNT(extensions); i++) {
        rl_buf_put_string(out, rl_span_of(extensions[i].name));
        rl_buf_put_string(out, rl_span_of(extensions[i].version));
    }
}

void rl_sftp_extended(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct rl_span name = rl_cursor_string(c);
    for (size_t i = 0; i < RL_COUNT(extensions); i++) {
        if (!rl_span_is(name, extensions[i].name))
            continue;
        extensions[i].handle(s, c);
        return;
    }
    rl_sftp_reply_status(s, FX_OP_UNSUPPORTED, "no such extension");
}
