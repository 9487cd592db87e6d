/* protocol: the fields of SFTP's messages, and the replies that all requests share. */
#include "internal.h"

#include <errno.h>
#include <string.h>

bool rl_sftp_read_attributes(struct rl_cursor *c, struct attributes *a)
{
    *a = (struct attributes){.flags = rl_cursor_u32(c)};
    if (a->flags & ATTR_SIZE)
        a->size = rl_cursor_u64(c);
    if (a->flags & ATTR_OWNER) {
        a->uid = rl_cursor_u32(c);
        a->gid = rl_cursor_u32(c);
    }
    if (a->flags & ATTR_MODE)
        a->mode = rl_cursor_u32(c);
    if (a->flags & ATTR_TIMES) {
        a->accessed_s = rl_cursor_u32(c);
        a->modified_s = rl_cursor_u32(c);
    }
    if (a->flags & ATTR_EXTENDED) {
        uint32_t n = rl_cursor_u32(c);
        /* Each takes eight bytes at least: a count that cannot be ends with the packet. */
        for (uint32_t i = 0; i < n && !c->failed; i++) {
            rl_cursor_string(c);
            rl_cursor_string(c);
        }
    }
    return !c->failed;
}

/* The protocol's times are 32 bits without a sign. */
static uint32_t clamp_time(int64_t s)
{
    return s < 0 ? 0 : s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

void rl_sftp_put_attributes(struct rl_buf *out, const struct stat *st)
{
    rl_buf_put_u32(out, ATTR_SIZE | ATTR_OWNER | ATTR_MODE | ATTR_TIMES);
    rl_buf_put_u64(out, (uint64_t)st->st_size);
    rl_buf_put_u32(out, st->st_uid);
    rl_buf_put_u32(out, st->st_gid);
    rl_buf_put_u32(out, st->st_mode);
    rl_buf_put_u32(out, clamp_time(st->st_atim.tv_sec));
    rl_buf_put_u32(out, clamp_time(st->st_mtim.tv_sec));
}

size_t rl_sftp_begin(struct rl_sftp_server *s, uint8_t type)
{
    size_t at = s->out->n;
    rl_buf_put_u32(s->out, 0);
    rl_buf_put_u8(s->out, type);
    rl_buf_put_u32(s->out, s->id);
    return at;
}

void rl_sftp_end(struct rl_sftp_server *s, size_t at)
{
    if (s->out->failed)
        return;
    uint32_t n = (uint32_t)(s->out->n - at - 4);
    uint8_t *p = s->out->p + at;
    p[0] = (uint8_t)(n >> 24);
    p[1] = (uint8_t)(n >> 16);
    p[2] = (uint8_t)(n >> 8);
    p[3] = (uint8_t)n;
}

void rl_sftp_reply_status(struct rl_sftp_server *s, uint32_t status, const char *message)
{
    size_t at = rl_sftp_begin(s, FXP_STATUS);
    rl_buf_put_u32(s->out, status);
    rl_buf_put_string(s->out, rl_span_of(message));
    rl_buf_put_string(s->out, rl_span_of("en"));
    rl_sftp_end(s, at);
}

static uint32_t status_of(int error)
{
    switch (error) {
    case 0:
        return FX_OK;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
        return FX_NO_SUCH_FILE;
    case EPERM:
    case EACCES:
        return FX_PERMISSION_DENIED;
    case ENAMETOOLONG:
    case EINVAL:
        return FX_BAD_MESSAGE;
    case ENOSYS:
    case EOPNOTSUPP:
        return FX_OP_UNSUPPORTED;
    default:
        return FX_FAILURE;
    }
}

void rl_sftp_reply_errno(struct rl_sftp_server *s, int error)
{
    const char *message = error ? strerrordesc_np(error) : "done";
    rl_sftp_reply_status(s, status_of(error), message ? message : "failed");
}

void rl_sftp_reply_malformed(struct rl_sftp_server *s)
{
    rl_sftp_reply_status(s, FX_BAD_MESSAGE, "the request is malformed");
}

void rl_sftp_reply_attributes(struct rl_sftp_server *s, const struct stat *st)
{
    size_t at = rl_sftp_begin(s, FXP_ATTRS);
    rl_sftp_put_attributes(s->out, st);
    rl_sftp_end(s, at);
}

/* One name, as REALPATH and READLINK answer: its long form is the name again. */
void rl_sftp_reply_name(struct rl_sftp_server *s, const char *name)
{
    size_t at = rl_sftp_begin(s, FXP_NAME);
    rl_buf_put_u32(s->out, 1);
    rl_buf_put_string(s->out, rl_span_of(name));
    rl_buf_put_string(s->out, rl_span_of(name));
    rl_buf_put_u32(s->out, 0);
    rl_sftp_end(s, at);
}
