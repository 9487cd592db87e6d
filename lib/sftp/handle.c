/* handle: open files and directories by the names that the client has for them: slot and
 * generation, so that a handle which was closed is nobody else's later. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HANDLE_BYTES 8

struct handle *rl_sftp_handle_take(struct rl_sftp_server *s)
{
    for (size_t i = 0; i < RL_SFTP_HANDLES_MAX; i++) {
        struct handle *h = &s->handles[i];
        if (h->is_used)
            continue;
        *h = (struct handle){.is_used = true, .generation = ++s->generation, .fd = -1};
        s->handles_n++;
        return h;
    }
    errno = EMFILE;
    return NULL;
}

void rl_sftp_reply_handle(struct rl_sftp_server *s, const struct handle *h)
{
    size_t at = rl_sftp_begin(s, FXP_HANDLE);
    rl_buf_put_u32(s->out, HANDLE_BYTES);
    rl_buf_put_u32(s->out, (uint32_t)(h - s->handles));
    rl_buf_put_u32(s->out, h->generation);
    rl_sftp_end(s, at);
}

struct handle *rl_sftp_handle_read(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct rl_span name = rl_cursor_string(c);
    struct rl_cursor field = rl_cursor_of(name);
    uint32_t slot = rl_cursor_u32(&field);
    uint32_t generation = rl_cursor_u32(&field);
    if (c->failed) {
        rl_sftp_reply_malformed(s);
        return NULL;
    }
    if (rl_cursor_done(&field) && slot < RL_SFTP_HANDLES_MAX && s->handles[slot].is_used &&
        s->handles[slot].generation == generation)
        return &s->handles[slot];
    rl_sftp_reply_status(s, FX_FAILURE, "there is no such handle");
    return NULL;
}

static void tell_closed(struct rl_sftp_server *s, const struct handle *h, int error)
{
    if (h->directory || !s->config.tell || !h->path)
        return;
    const struct rl_sftp_operation operation = {
        .kind = h->is_for_writing ? RL_SFTP_WRITE : RL_SFTP_READ,
        .error = error,
        .path = h->path,
        .target = "",
        .bytes_read = h->bytes_read,
        .bytes_written = h->bytes_written,
    };
    s->config.tell(s->config.ctx, &operation);
}

int rl_sftp_handle_close(struct rl_sftp_server *s, struct handle *h)
{
    int error = 0;
    if (h->directory) {
        closedir(h->directory);
    } else if (h->fd >= 0 && close(h->fd) != 0 && errno != EINTR) {
        error = errno; /* a network file system, or a quota, says it only now */
    }
    tell_closed(s, h, error);
    free(h->path);
    *h = (struct handle){.fd = -1};
    s->handles_n--;
    return error;
}
