/* server: packets in, packets out. One request at a time, in order; replies are gathered while
 * more requests are there already, and written together. */
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES 4
#define INPUT_BYTES_MAX (2 * RL_SFTP_PACKET_BYTES_MAX)
#define OUTPUT_BYTES_MAX (2 * RL_SFTP_REPLY_BYTES_MAX)

static const struct {
    uint8_t type;
    request_handler *handle;
} requests[] = {
    {FXP_OPEN, rl_sftp_open},         {FXP_CLOSE, rl_sftp_close},
    {FXP_READ, rl_sftp_read},         {FXP_WRITE, rl_sftp_write},
    {FXP_LSTAT, rl_sftp_lstat},       {FXP_FSTAT, rl_sftp_fstat},
    {FXP_SETSTAT, rl_sftp_setstat},   {FXP_FSETSTAT, rl_sftp_fsetstat},
    {FXP_OPENDIR, rl_sftp_opendir},   {FXP_READDIR, rl_sftp_readdir},
    {FXP_REMOVE, rl_sftp_remove},     {FXP_MKDIR, rl_sftp_mkdir},
    {FXP_RMDIR, rl_sftp_rmdir},       {FXP_REALPATH, rl_sftp_realpath},
    {FXP_STAT, rl_sftp_stat},         {FXP_RENAME, rl_sftp_rename},
    {FXP_READLINK, rl_sftp_readlink}, {FXP_SYMLINK, rl_sftp_symlink},
    {FXP_EXTENDED, rl_sftp_extended},
};

struct rl_sftp_server *rl_sftp_create(const struct rl_sftp_config *config)
{
    struct rl_sftp_server *s = rl_alloc(sizeof *s);
    s->config = *config;
    return s;
}

void rl_sftp_free(struct rl_sftp_server **server)
{
    if (!*server)
        return;
    for (size_t i = 0; i < RL_SFTP_HANDLES_MAX; i++)
        if ((*server)->handles[i].is_used)
            rl_sftp_handle_close(*server, &(*server)->handles[i]);
    free(*server);
    *server = NULL;
}

static rl_code begin(struct rl_sftp_server *s, struct rl_cursor *c, struct rl_error *err)
{
    /* The client's extensions, if it names any, change nothing here. */
    uint32_t version = rl_cursor_u32(c);
    if (c->failed || version < VERSION || s->has_begun)
        return rl_fail(err, RL_E_INVAL, "no SFTP client of version %u or later", VERSION);
    s->has_begun = true;
    s->id = VERSION; /* where other replies have the request's id */
    size_t at = rl_sftp_begin(s, FXP_VERSION);
    rl_sftp_put_extensions(s->out);
    rl_sftp_end(s, at);
    return RL_OK;
}

static void answer(struct rl_sftp_server *s, uint8_t type, struct rl_cursor *c)
{
    for (size_t i = 0; i < RL_COUNT(requests); i++) {
        if (requests[i].type != type)
            continue;
        requests[i].handle(s, c);
        return;
    }
    rl_sftp_reply_status(s, FX_OP_UNSUPPORTED, "no such request");
}

rl_code rl_sftp_request(struct rl_sftp_server *s, struct rl_span packet, struct rl_buf *out,
                        struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(packet);
    uint8_t type = rl_cursor_u8(&c);
    s->out = out;
    if (type == FXP_INIT)
        return begin(s, &c, err);
    s->id = rl_cursor_u32(&c);
    if (c.failed || !s->has_begun)
        return rl_fail(err, RL_E_INVAL, "what came is not SFTP");
    answer(s, type, &c);
    return out->failed ? rl_fail(err, RL_E_INTERNAL, "a reply was too long") : RL_OK;
}

/* ---- the streams ---- */

struct stream {
    const struct rl_sftp_config *config;
    struct rl_buf in, out;
    size_t at; /* in `in`: answered up to here */
};

static rl_code flush(struct stream *x, struct rl_error *err)
{
    size_t done = 0;
    while (done < x->out.n) {
        ssize_t n = write(x->config->out, x->out.p + done, x->out.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rl_fail_errno(err, RL_E_UNAVAILABLE, "writing to the client");
        done += (size_t)n;
    }
    x->out.n = 0; /* not rl_buf_clear(): nothing in it is secret, and it is filled again at once */
    return RL_OK;
}

/* What is left of a request that has not come whole goes to the front. */
static void make_room(struct stream *x)
{
    size_t left = x->in.n - x->at;
    if (left && x->at)
        memmove(x->in.p, x->in.p + x->at, left);
    x->in.n = left;
    x->at = 0;
}

/* RL_E_CANCELLED: the client has closed, between two requests. */
static rl_code fill(struct stream *x, struct rl_error *err)
{
    make_room(x);
    uint8_t *room = rl_buf_reserve(&x->in, INPUT_BYTES_MAX - x->in.n);
    if (!room)
        return rl_fail(err, RL_E_INTERNAL, "no memory for requests");
    ssize_t n;
    do
        n = read(x->config->in, room, INPUT_BYTES_MAX - x->in.n);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return rl_fail_errno(err, RL_E_UNAVAILABLE, "reading from the client");
    if (n == 0)
        return x->in.n ? rl_fail(err, RL_E_UNAVAILABLE, "the client went away within a request")
                       : RL_E_CANCELLED;
    x->in.n += (size_t)n;
    return RL_OK;
}

/* The next whole request; false: more has to come. */
static bool next(struct stream *x, struct rl_span *packet, rl_code *rc, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(RL_SPAN(x->in.p + x->at, x->in.n - x->at));
    uint32_t n = rl_cursor_u32(&c);
    if (c.failed)
        return false;
    if (n == 0 || n > RL_SFTP_PACKET_BYTES_MAX) {
        *rc = rl_fail(err, RL_E_INVAL, "a request of %u bytes", n);
        return false;
    }
    *packet = rl_cursor_bytes(&c, n);
    if (c.failed)
        return false;
    x->at += LENGTH_BYTES + n;
    return true;
}

static rl_code answer_all(struct rl_sftp_server *s, struct stream *x, struct rl_error *err)
{
    struct rl_span packet;
    rl_code rc = RL_OK;
    while (rc == RL_OK && next(x, &packet, &rc, err)) {
        if (x->out.n > OUTPUT_BYTES_MAX - RL_SFTP_REPLY_BYTES_MAX)
            rc = flush(x, err);
        if (rc == RL_OK)
            rc = rl_sftp_request(s, packet, &x->out, err);
    }
    rl_code flushed = x->out.n ? flush(x, rc == RL_OK ? err : NULL) : RL_OK;
    return rc == RL_OK ? flushed : rc;
}

rl_code rl_sftp_serve(const struct rl_sftp_config *config, struct rl_error *err)
{
    struct rl_sftp_server *s = rl_sftp_create(config);
    struct stream x = {.config = config};
    rl_buf_init(&x.in, INPUT_BYTES_MAX);
    rl_buf_init(&x.out, OUTPUT_BYTES_MAX);
    rl_code rc;
    do {
        rc = fill(&x, err);
        if (rc == RL_OK)
            rc = answer_all(s, &x, err);
    } while (rc == RL_OK);
    rl_buf_fini(&x.in);
    rl_buf_fini(&x.out);
    rl_sftp_free(&s);
    return rc == RL_E_CANCELLED ? RL_OK : rc;
}
