/* directory: every file is made beside its place and moved there, so a full disk or a power cut
 * leaves the old one. The lock is the process's own (POSIX): sessions that are forked off do not
 * hold it when their parent is gone. */
#include "enrol/directory.h"

#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define TEMPORARY_SUFFIX ".new"

struct remembered {
    char *name; /* NULL: a free place */
    struct rl_buf content;
};

struct rl_directory {
    char *path;
    int fd, lock_fd;
    bool in_memory;
    struct remembered remembered[RL_DIRECTORY_MEMORY_FILES_MAX];
};

static rl_code make(const char *path, struct rl_error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return RL_OK;
    return rl_fail_errno(err, RL_E_INVAL, "making the data directory %s", path);
}

static rl_code check_owner(int fd, const char *path, struct rl_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return rl_fail_errno(err, RL_E_INVAL, "looking at the data directory %s", path);
    if (st.st_uid != geteuid())
        return rl_fail(err, RL_E_INVAL, "the data directory %s belongs to user %u", path,
                       (unsigned)st.st_uid);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return rl_fail(err, RL_E_INVAL, "others may write to the data directory %s: chmod 700 it",
                       path);
    return RL_OK;
}

static rl_code take_lock(struct rl_directory *directory, struct rl_error *err)
{
    directory->lock_fd =
        openat(directory->fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (directory->lock_fd < 0)
        return rl_fail_errno(err, RL_E_INVAL, "opening %s/" LOCK_FILE, directory->path);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(directory->lock_fd, F_SETLK, &lock) == 0)
        return RL_OK;
    if (errno == EACCES || errno == EAGAIN)
        return rl_fail(err, RL_E_EXISTS,
                       "another process uses %s; give this one its own data directory",
                       directory->path);
    return rl_fail_errno(err, RL_E_INVAL, "locking %s", directory->path);
}

rl_code rl_directory_open(const char *path, bool in_memory, struct rl_directory **out,
                          struct rl_error *err)
{
    rl_code code = make(path, err);
    if (code != RL_OK)
        return code;
    struct rl_directory *directory = rl_alloc(sizeof *directory);
    directory->path = rl_strdup(path);
    directory->in_memory = in_memory;
    directory->lock_fd = -1;
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0)
        code = rl_fail_errno(err, RL_E_INVAL, "opening the data directory %s", path);
    if (code == RL_OK)
        code = check_owner(directory->fd, path, err);
    if (code == RL_OK)
        code = take_lock(directory, err);
    if (code == RL_OK)
        *out = directory;
    else
        rl_directory_close(&directory);
    return code;
}

void rl_directory_close(struct rl_directory **directory)
{
    struct rl_directory *gone = directory ? *directory : NULL;
    if (!gone)
        return;
    *directory = NULL;
    for (size_t i = 0; i < RL_COUNT(gone->remembered); i++) {
        free(gone->remembered[i].name);
        rl_buf_fini(&gone->remembered[i].content); /* wipes: a key is among them */
    }
    if (gone->lock_fd >= 0)
        close(gone->lock_fd);
    if (gone->fd >= 0)
        close(gone->fd);
    free(gone->path);
    free(gone);
}

const char *rl_directory_path(const struct rl_directory *directory)
{
    return directory->path;
}

static bool is_plain(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/') && strcmp(name, LOCK_FILE) != 0;
}

/* ---- in memory ---- */

/* By its name, or NULL; NULL finds a free place. */
static struct remembered *find(struct rl_directory *directory, const char *name)
{
    for (size_t i = 0; i < RL_COUNT(directory->remembered); i++) {
        struct remembered *r = &directory->remembered[i];
        if (name && r->name ? strcmp(r->name, name) == 0 : !name && !r->name)
            return r;
    }
    return NULL;
}

static rl_code remember(struct rl_directory *directory, const char *name, struct rl_span content,
                        struct rl_error *err)
{
    struct remembered *r = find(directory, name);
    if (!r)
        r = find(directory, NULL);
    if (!r)
        return rl_fail(err, RL_E_EXHAUSTED, "more than %d files in memory",
                       RL_DIRECTORY_MEMORY_FILES_MAX);
    struct rl_buf copy;
    rl_buf_init(&copy, content.n);
    if (!rl_buf_put_span(&copy, content))
        return rl_fail(err, RL_E_EXHAUSTED, "no memory for %s", name);
    if (!r->name)
        r->name = rl_strdup(name);
    rl_buf_fini(&r->content);
    r->content = copy;
    return RL_OK;
}

static rl_code recall(struct rl_directory *directory, const char *name, size_t bytes_max,
                      struct rl_buf *out, struct rl_error *err)
{
    const struct remembered *r = find(directory, name);
    if (!r)
        return rl_fail(err, RL_E_NOT_FOUND, "no %s in memory", name);
    if (r->content.n > bytes_max || !rl_buf_put_span(out, rl_buf_span(&r->content)))
        return rl_fail(err, RL_E_INVAL, "%s is longer than %zu bytes", name, bytes_max);
    return RL_OK;
}

/* ---- on disk ---- */

static rl_code write_beside(struct rl_directory *directory, const char *temporary,
                            struct rl_span content, struct rl_error *err)
{
    int fd = openat(directory->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0)
        return rl_fail_errno(err, RL_E_UNAVAILABLE, "making %s/%s", directory->path, temporary);
    bool written = fchmod(fd, 0600) == 0 && rl_file_write_fd(fd, content);
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return written
               ? RL_OK
               : rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s/%s", directory->path, temporary);
}

rl_code rl_directory_write(struct rl_directory *directory, const char *name, struct rl_span content,
                           struct rl_error *err)
{
    RL_ASSERT(is_plain(name));
    if (directory->in_memory)
        return remember(directory, name, content, err);
    char *temporary = rl_sprintf("%s" TEMPORARY_SUFFIX, name);
    rl_code code = write_beside(directory, temporary, content, err);
    if (code == RL_OK &&
        (renameat(directory->fd, temporary, directory->fd, name) != 0 || fsync(directory->fd) != 0))
        code = rl_fail_errno(err, RL_E_UNAVAILABLE, "replacing %s/%s", directory->path, name);
    if (code != RL_OK)
        unlinkat(directory->fd, temporary, 0);
    free(temporary);
    return code;
}

static rl_code read_file(int fd, const char *path, const char *name, size_t bytes_max,
                         struct rl_buf *out, struct rl_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return rl_fail(err, RL_E_INVAL, "%s/%s is no plain file", path, name);
    if (st.st_size < 0 || (uint64_t)st.st_size > bytes_max)
        return rl_fail(err, RL_E_INVAL, "%s/%s is longer than %zu bytes", path, name, bytes_max);
    char *whole = rl_sprintf("%s/%s", path, name);
    rl_code code = rl_file_read_fd(fd, whole, out, err);
    free(whole);
    return code;
}

rl_code rl_directory_read(struct rl_directory *directory, const char *name, size_t bytes_max,
                          struct rl_buf *out, struct rl_error *err)
{
    RL_ASSERT(is_plain(name));
    if (directory->in_memory)
        return recall(directory, name, bytes_max, out, err);
    int fd = openat(directory->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rl_fail_errno(err, errno == ENOENT ? RL_E_NOT_FOUND : RL_E_INVAL, "opening %s/%s",
                             directory->path, name);
    rl_code code = read_file(fd, directory->path, name, bytes_max, out, err);
    close(fd);
    return code;
}
