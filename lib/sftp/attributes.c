/* attributes: looking at them and setting them. What a path means is looked up once, and all that a
 * request sets is set on that one thing. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MODE_BITS 07777u
#define DESCRIPTION_BYTES 128

static void reply_stat(struct rl_sftp_server *s, struct rl_cursor *c, enum follow follow)
{
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    struct place place;
    struct stat st;
    bool ok = rl_sftp_place_find(s, path, follow, &place);
    if (ok) {
        ok = fstatat(place.dir, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        rl_sftp_place_close(&place);
    }
    free(path);
    if (ok)
        rl_sftp_reply_attributes(s, &st);
    else
        rl_sftp_reply_errno(s, errno);
}

void rl_sftp_stat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    reply_stat(s, c, FOLLOW);
}

void rl_sftp_lstat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    reply_stat(s, c, NO_FOLLOW);
}

static int handle_fd(const struct handle *h)
{
    return h->directory ? dirfd(h->directory) : h->fd;
}

void rl_sftp_fstat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    struct stat st;
    if (!h)
        return;
    if (fstat(handle_fd(h), &st) == 0)
        rl_sftp_reply_attributes(s, &st);
    else
        rl_sftp_reply_errno(s, errno);
}

/* ---- setting ---- */

static void fill_times(const struct attributes *a, struct timespec times[2])
{
    times[0] = (struct timespec){.tv_sec = (time_t)a->accessed_s};
    times[1] = (struct timespec){.tv_sec = (time_t)a->modified_s};
}

/* Each of them is tried; errno of the last that failed, or 0. */
static int set_by_fd(int fd, const struct attributes *a)
{
    int error = 0;
    struct timespec times[2];
    fill_times(a, times);
    if ((a->flags & ATTR_SIZE) && ftruncate(fd, (off_t)a->size) != 0)
        error = errno;
    if ((a->flags & ATTR_MODE) && fchmod(fd, a->mode & MODE_BITS) != 0)
        error = errno;
    if ((a->flags & ATTR_TIMES) && futimens(fd, times) != 0)
        error = errno;
    if ((a->flags & ATTR_OWNER) && fchown(fd, a->uid, a->gid) != 0)
        error = errno;
    return error;
}

/* By an O_PATH descriptor, which needs no right to read or write what it stands for. */
static int set_by_path_fd(int fd, const struct attributes *a)
{
    int error = 0;
    char name[FD_NAME_BYTES];
    struct timespec times[2];
    fill_times(a, times);
    rl_sftp_fd_name(fd, name);
    if ((a->flags & ATTR_SIZE) && truncate(name, (off_t)a->size) != 0)
        error = errno;
    if ((a->flags & ATTR_MODE) && chmod(name, a->mode & MODE_BITS) != 0)
        error = errno;
    if ((a->flags & ATTR_TIMES) && utimensat(AT_FDCWD, name, times, 0) != 0)
        error = errno;
    if ((a->flags & ATTR_OWNER) && fchownat(fd, "", a->uid, a->gid, AT_EMPTY_PATH) != 0)
        error = errno;
    return error;
}

/* Of a symbolic link itself, which has no mode and no size to set. */
static int set_in_place(const struct place *place, const struct attributes *a)
{
    int error = a->flags & ATTR_SIZE ? EINVAL : 0;
    struct timespec times[2];
    fill_times(a, times);
    if ((a->flags & ATTR_MODE) &&
        fchmodat(place->dir, place->name, a->mode & MODE_BITS, AT_SYMLINK_NOFOLLOW) != 0)
        error = errno;
    if ((a->flags & ATTR_TIMES) &&
        utimensat(place->dir, place->name, times, AT_SYMLINK_NOFOLLOW) != 0)
        error = errno;
    if ((a->flags & ATTR_OWNER) &&
        fchownat(place->dir, place->name, a->uid, a->gid, AT_SYMLINK_NOFOLLOW) != 0)
        error = errno;
    return error;
}

static void describe(const struct attributes *a, char out[DESCRIPTION_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    if (a->flags & ATTR_MODE)
        n += (size_t)snprintf(out + n, DESCRIPTION_BYTES - n, "mode=%o ", a->mode & MODE_BITS);
    if (a->flags & ATTR_OWNER)
        n += (size_t)snprintf(out + n, DESCRIPTION_BYTES - n, "uid=%u gid=%u ", a->uid, a->gid);
    if (a->flags & ATTR_SIZE)
        n += (size_t)snprintf(out + n, DESCRIPTION_BYTES - n, "size=%llu ",
                              (unsigned long long)a->size);
    if (a->flags & ATTR_TIMES)
        n += (size_t)snprintf(out + n, DESCRIPTION_BYTES - n, "times ");
    if (n)
        out[n - 1] = '\0';
}

static void tell_set(struct rl_sftp_server *s, int error, const char *path,
                     const struct attributes *a)
{
    char what[DESCRIPTION_BYTES];
    describe(a, what);
    rl_sftp_tell(s, RL_SFTP_SETSTAT, error, path, what);
}

static void set_path(struct rl_sftp_server *s, const char *path, const struct attributes *a)
{
    int fd = rl_sftp_place_open(s, path, FOLLOW);
    int error = fd >= 0 ? set_by_path_fd(fd, a) : errno;
    char *real = fd >= 0 && s->config.tell ? rl_sftp_real_path(fd, "") : NULL;
    tell_set(s, error, real ? real : path, a);
    free(real);
    if (fd >= 0)
        close(fd);
    rl_sftp_reply_errno(s, error);
}

static void set_link(struct rl_sftp_server *s, const char *path, const struct attributes *a)
{
    struct place place;
    bool found = rl_sftp_place_find(s, path, NO_FOLLOW, &place);
    int error = found ? set_in_place(&place, a) : errno;
    char *real = found && s->config.tell ? rl_sftp_real_path(place.dir, place.name) : NULL;
    tell_set(s, error, real ? real : path, a);
    free(real);
    if (found)
        rl_sftp_place_close(&place);
    rl_sftp_reply_errno(s, error);
}

static void set_named(struct rl_sftp_server *s, struct rl_cursor *c,
                      void (*set)(struct rl_sftp_server *, const char *, const struct attributes *))
{
    struct attributes a;
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    if (rl_sftp_read_attributes(c, &a))
        set(s, path, &a);
    else
        rl_sftp_reply_malformed(s);
    free(path);
}

void rl_sftp_setstat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    set_named(s, c, set_path);
}

void rl_sftp_lsetstat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    set_named(s, c, set_link);
}

void rl_sftp_fsetstat(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    struct attributes a;
    if (!h)
        return;
    if (!rl_sftp_read_attributes(c, &a)) {
        rl_sftp_reply_malformed(s);
        return;
    }
    int error = set_by_fd(handle_fd(h), &a);
    /* Of a file that is being written the event of its closing says enough. */
    if (!h->is_for_writing && s->config.tell) {
        char *real = rl_sftp_real_path(handle_fd(h), "");
        tell_set(s, error, real, &a);
        free(real);
    }
    rl_sftp_reply_errno(s, error);
}
