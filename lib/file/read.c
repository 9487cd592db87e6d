/* read: a buffer's maximum is reached to the byte: a file that just fits is read, one byte more is
 * an error.
 */
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES 16384

/* Room for all of it at once, where it is known how much that is; it may grow or shrink meanwhile.
 */
static void make_room(int fd, struct rl_buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return;
    size_t wanted = (size_t)st.st_size + STEP_BYTES;
    size_t room = out->max - out->n;
    (void)rl_buf_reserve(out, wanted < room ? wanted : room);
}

rl_code rl_file_read_fd(int fd, const char *path, struct rl_buf *out, struct rl_error *err)
{
    make_room(fd, out);
    for (;;) {
        uint8_t beyond = 0;
        size_t room = out->max - out->n;
        size_t step = room < STEP_BYTES ? room : STEP_BYTES;
        uint8_t *to = step ? rl_buf_reserve(out, step) : &beyond;
        if (!to)
            return rl_fail(err, RL_E_EXHAUSTED, "no memory to read %s", path);
        ssize_t n = read(fd, to, step ? step : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rl_fail_errno(err, RL_E_INVAL, "reading %s", path);
        if (n == 0)
            return RL_OK;
        if (!step)
            return rl_fail(err, RL_E_INVAL, "%s is larger than %zu bytes", path, out->max);
        out->n += (size_t)n;
    }
}

static rl_code open_to_read(const char *path, int *fd, struct rl_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0)
        return RL_OK;
    return rl_fail_errno(err, errno == ENOENT ? RL_E_NOT_FOUND : RL_E_INVAL, "reading %s", path);
}

rl_code rl_file_read(const char *path, struct rl_buf *out, struct rl_error *err)
{
    int fd = -1;
    rl_code rc = open_to_read(path, &fd, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_file_read_fd(fd, path, out, err);
    close(fd);
    return rc;
}

rl_code rl_file_read_input(const char *path, struct rl_buf *out, struct rl_error *err)
{
    if (strcmp(path, "-") == 0)
        return rl_file_read_fd(STDIN_FILENO, "stdin", out, err);
    return rl_file_read(path, out, err);
}

rl_code rl_file_read_private(const char *path, struct rl_buf *out, struct rl_error *err)
{
    int fd = -1;
    struct stat st;
    rl_code rc = open_to_read(path, &fd, err);
    if (rc != RL_OK)
        return rc;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = rl_fail(err, RL_E_INVAL, "%s is not a regular file", path);
    else if (st.st_mode & 077)
        rc = rl_fail(err, RL_E_DENIED,
                     "others than its owner can read or write %s (mode %03o): chmod 600 it", path,
                     (unsigned)(st.st_mode & 0777));
    else
        rc = rl_file_read_fd(fd, path, out, err);
    close(fd);
    return rc;
}

rl_code rl_file_read_secret(const char *path, size_t bytes_max, struct rl_secret **out,
                            struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, bytes_max + 1); /* and its newline */
    rl_code rc = rl_file_read_input(path, &text, err);
    if (rc == RL_OK && text.n && text.p[text.n - 1] == '\n')
        text.n--;
    if (rc == RL_OK && text.n > bytes_max)
        rc = rl_fail(err, RL_E_INVAL, "%s is larger than %zu bytes", path, bytes_max);
    if (rc == RL_OK && text.n && memchr(text.p, 0, text.n))
        rc = rl_fail(err, RL_E_INVAL, "%s has a NUL in it", path);
    if (rc == RL_OK)
        *out = rl_secret_create(rl_buf_span(&text));
    rl_buf_fini(&text);
    return rc;
}
