/* write: the new content is complete on the disk before it has the name. */
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool rl_file_write_fd(int fd, struct rl_span content)
{
    while (content.n > 0) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        content = RL_SPAN(content.p + n, content.n - (size_t)n);
    }
    return fsync(fd) == 0;
}

/* The owner first: fchown() takes set-user-id bits away. */
static bool make_like(int fd, const struct stat *like)
{
    return fchown(fd, like->st_uid, like->st_gid) == 0 && fchmod(fd, like->st_mode & 07777) == 0;
}

rl_code rl_file_replace(const char *path, struct rl_span content, const struct stat *like,
                        struct rl_error *err)
{
    char *fresh = rl_sprintf("%s.XXXXXX", path);
    rl_code rc = RL_OK;
    int fd = mkostemp(fresh, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s", path);
        goto out;
    }
    bool is_written = rl_file_write_fd(fd, content) && (!like || make_like(fd, like));
    if (!is_written || rename(fresh, path) != 0) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s", path);
        unlink(fresh);
    }
    close(fd);
out:
    free(fresh);
    return rc;
}

rl_code rl_file_write(const char *path, struct rl_span content, struct rl_error *err)
{
    return rl_file_replace(path, content, NULL, err);
}

/* And the mode that rl_file_write() would give it. */
static bool is_written(const char *path, struct rl_span content)
{
    struct stat st;
    struct rl_buf now;
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600)
        return false;
    rl_buf_init(&now, content.n);
    bool is_same =
        rl_file_read(path, &now, NULL) == RL_OK && rl_span_equal(rl_buf_span(&now), content);
    rl_buf_fini(&now);
    return is_same;
}

rl_code rl_file_update(const char *path, struct rl_span content, struct rl_error *err)
{
    return is_written(path, content) ? RL_OK : rl_file_write(path, content, err);
}

rl_code rl_file_create(const char *path, struct rl_span content, struct rl_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return rl_fail_errno(err, errno == EEXIST ? RL_E_EXISTS : RL_E_UNAVAILABLE, "making %s",
                             path);
    rl_code rc = RL_OK;
    if (!rl_file_write_fd(fd, content)) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s", path);
        unlink(path);
    }
    close(fd);
    return rc;
}
