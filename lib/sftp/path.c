/* path: from what the client calls a path to a descriptor and a last name. The kernel looks the
 * directory up once; symbolic links of the last name are read and followed here, one at a time, so
 * that whoever then acts on the name can do so with O_NOFOLLOW. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel has it */

char *rl_sftp_path_read(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct rl_span field = rl_cursor_string(c);
    if (c->failed) {
        rl_sftp_reply_malformed(s);
        return NULL;
    }
    if (field.n >= RL_SFTP_PATH_BYTES_MAX) {
        rl_sftp_reply_errno(s, ENAMETOOLONG);
        return NULL;
    }
    if (field.n == 0)
        return rl_strdup("."); /* where the session starts */
    char *path = rl_span_to_string(field);
    if (!path)
        rl_sftp_reply_malformed(s); /* NUL within: the kernel would see another path */
    return path;
}

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(__NR_openat2, root, path, &how, sizeof how);
}

/* A directory; `from` is where a relative path starts. */
static int open_dir(const struct rl_sftp_server *s, int from, const char *path)
{
    int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    if (s->config.root_fd < 0)
        return openat(from, path, flags);
    return open_beneath(*path == '/' || from == AT_FDCWD ? s->config.root_fd : from, path, flags);
}

/* Splits off the last name in place: "a/b/" is "b" in "a", "/" and what ends in a dot name are "."
 * in themselves. */
static const char *split(char *path, char *directory, size_t size)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    char *slash = strrchr(path, '/');
    char *name = slash ? slash + 1 : path;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        snprintf(directory, size, "%s", path);
        return ".";
    }
    if (!slash)
        snprintf(directory, size, ".");
    else if (slash == path)
        snprintf(directory, size, "/");
    else
        snprintf(directory, size, "%.*s", (int)(slash - path), path);
    return name;
}

/* One step; `path` is changed. The directory stays open in out->dir. */
static bool find_step(const struct rl_sftp_server *s, int from, char *path, struct place *out)
{
    char directory[RL_SFTP_PATH_BYTES_MAX];
    const char *name = split(path, directory, sizeof directory);
    if (strlen(name) >= sizeof out->name) {
        errno = ENAMETOOLONG;
        return false;
    }
    out->dir = open_dir(s, from, directory);
    if (out->dir < 0)
        return false;
    snprintf(out->name, sizeof out->name, "%s", name);
    return true;
}

/* Where the link at `place` leads; false: it is none. */
static bool read_link(const struct place *place, char target[RL_SFTP_PATH_BYTES_MAX])
{
    ssize_t n = readlinkat(place->dir, place->name, target, RL_SFTP_PATH_BYTES_MAX - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    return true;
}

bool rl_sftp_place_find(const struct rl_sftp_server *s, const char *path, enum follow follow,
                        struct place *out)
{
    char now[RL_SFTP_PATH_BYTES_MAX];
    struct place at = {.dir = -1};
    snprintf(now, sizeof now, "%s", path);
    if (!find_step(s, AT_FDCWD, now, &at))
        return false;
    for (int links = 0; follow == FOLLOW && read_link(&at, now); links++) {
        int from = at.dir;
        bool ok = links < LINKS_MAX && find_step(s, from, now, &at);
        int error = links < LINKS_MAX ? errno : ELOOP;
        close(from);
        if (!ok) {
            errno = error;
            return false;
        }
    }
    *out = at;
    return true;
}

void rl_sftp_place_close(struct place *place)
{
    int error = errno;
    if (place->dir >= 0)
        close(place->dir);
    place->dir = -1;
    errno = error;
}

int rl_sftp_place_open(const struct rl_sftp_server *s, const char *path, enum follow follow)
{
    struct place place;
    if (!rl_sftp_place_find(s, path, follow, &place))
        return -1;
    int fd = openat(place.dir, place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    rl_sftp_place_close(&place);
    return fd;
}

void rl_sftp_fd_name(int fd, char out[FD_NAME_BYTES])
{
    snprintf(out, FD_NAME_BYTES, "/proc/self/fd/%d", fd);
}

char *rl_sftp_real_path(int fd, const char *name)
{
    char link[FD_NAME_BYTES], path[RL_SFTP_PATH_BYTES_MAX];
    rl_sftp_fd_name(fd, link);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return rl_strdup(name);
    path[n] = '\0';
    if (!*name || strcmp(name, ".") == 0)
        return rl_strdup(path);
    return rl_sprintf("%s/%s", strcmp(path, "/") == 0 ? "" : path, name);
}
