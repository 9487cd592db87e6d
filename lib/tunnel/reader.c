/* Frames as they are read. A data frame is the fields offset (absent: 0) and data and nothing after
 * them, so its payload can be handed on before it is whole; any other frame is gathered, up to its
 * limit, and unpacked. Which of the two it is shows in its first bytes.
 */
#include "tunnel/tunnel.h"

#include <stdlib.h>
#include <string.h>

#define TAG_OFFSET 0x08
#define TAG_DATA 0x12
#define VARINT_BYTES_MAX 10
#define FRAME_BYTES_MAX                                                                            \
    (RL_TUNNEL_CONTROL_BYTES_MAX > RL_TUNNEL_DATA_BYTES_MAX + 22 ? RL_TUNNEL_CONTROL_BYTES_MAX     \
                                                                 : RL_TUNNEL_DATA_BYTES_MAX + 22)

enum state { IN_PREFIX, IN_HEADER, IN_DATA, IN_CONTROL, BROKEN };

struct rl_frame_reader {
    struct rl_frame_reader_ops ops;
    void *context;
    enum state state;
    uint8_t prefix[RL_TUNNEL_PREFIX_BYTES];
    size_t prefix_n;
    size_t left;            /* of the message, beyond what `gathered` holds */
    struct rl_buf gathered; /* its first bytes; all of a control frame */
    uint64_t offset;        /* of the next payload byte */
};

struct rl_frame_reader *rl_frame_reader_create(const struct rl_frame_reader_ops *ops, void *context)
{
    struct rl_frame_reader *reader = rl_alloc(sizeof *reader);
    *reader = (struct rl_frame_reader){.ops = *ops, .context = context};
    rl_buf_init(&reader->gathered, FRAME_BYTES_MAX);
    return reader;
}

void rl_frame_reader_restart(struct rl_frame_reader *reader)
{
    rl_buf_clear(&reader->gathered);
    reader->prefix_n = reader->left = 0;
    reader->state = IN_PREFIX;
}

void rl_frame_reader_free(struct rl_frame_reader **reader)
{
    if (!reader || !*reader)
        return;
    rl_buf_fini(&(*reader)->gathered);
    free(*reader);
    *reader = NULL;
}

bool rl_frame_reader_is_between(const struct rl_frame_reader *reader)
{
    return reader->state == IN_PREFIX && reader->prefix_n == 0;
}

static rl_code prefix_done(struct rl_frame_reader *r, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(RL_SPAN(r->prefix, sizeof r->prefix));
    if (rl_cursor_u8(&c) != 0)
        return rl_fail(err, RL_E_INVAL, "a compressed frame");
    uint32_t n = rl_cursor_u32(&c);
    if (n == 0)
        return rl_fail(err, RL_E_INVAL, "an empty frame");
    if (n > FRAME_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a frame of %u bytes; at most %d are allowed", n,
                       FRAME_BYTES_MAX);
    r->prefix_n = 0;
    r->left = n;
    rl_buf_clear(&r->gathered);
    r->state = IN_HEADER;
    return RL_OK;
}

static rl_code take_prefix(struct rl_frame_reader *r, struct rl_cursor *c, struct rl_error *err)
{
    while (c->n && r->prefix_n < sizeof r->prefix)
        r->prefix[r->prefix_n++] = rl_cursor_u8(c);
    return r->prefix_n < sizeof r->prefix ? RL_OK : prefix_done(r, err);
}

enum varint { VARINT_WHOLE, VARINT_MORE, VARINT_BAD };

static enum varint varint_read(struct rl_cursor *c, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < VARINT_BYTES_MAX; i++) {
        if (c->n == 0)
            return VARINT_MORE;
        uint8_t byte = rl_cursor_u8(c);
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return VARINT_BAD;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *out = value;
            return VARINT_WHOLE;
        }
    }
    return VARINT_BAD;
}

enum header { HEADER_DATA, HEADER_CONTROL, HEADER_MORE, HEADER_BAD };

/* What the first bytes of a message say. `is_all`: they are the whole message. */
static enum header header_read(struct rl_span first, bool is_all, uint64_t *offset, uint64_t *n)
{
    struct rl_cursor c = rl_cursor_of(first);
    enum header short_of = is_all ? HEADER_BAD : HEADER_MORE;
    *offset = 0;
    uint8_t tag = rl_cursor_u8(&c);
    if (tag == TAG_OFFSET) {
        enum varint v = varint_read(&c, offset);
        if (v != VARINT_WHOLE)
            return v == VARINT_MORE ? short_of : HEADER_BAD;
        if (c.n == 0) /* an offset alone is left to the control frames, which refuse it */
            return is_all ? HEADER_CONTROL : HEADER_MORE;
        tag = rl_cursor_u8(&c);
    }
    if (tag != TAG_DATA)
        return HEADER_CONTROL;
    enum varint v = varint_read(&c, n);
    if (v != VARINT_WHOLE)
        return v == VARINT_MORE ? short_of : HEADER_BAD;
    return HEADER_DATA;
}

/* One byte at a time until the first bytes have said what this frame is: at most 22. */
static rl_code take_header(struct rl_frame_reader *r, struct rl_cursor *c, struct rl_error *err)
{
    while (c->n) {
        rl_buf_put_u8(&r->gathered, rl_cursor_u8(c));
        r->left--;
        uint64_t offset, n = 0;
        switch (header_read(rl_buf_span(&r->gathered), r->left == 0, &offset, &n)) {
        case HEADER_MORE:
            continue;
        case HEADER_CONTROL:
            r->state = IN_CONTROL;
            return RL_OK;
        case HEADER_BAD:
            return rl_fail(err, RL_E_INVAL, "a malformed frame");
        case HEADER_DATA:
            if (n < 1 || n > RL_TUNNEL_DATA_BYTES_MAX)
                return rl_fail(err, RL_E_INVAL, "a data frame of %llu bytes; 1 to %d are allowed",
                               (unsigned long long)n, RL_TUNNEL_DATA_BYTES_MAX);
            if (n != r->left)
                return rl_fail(err, RL_E_INVAL, "a data frame with something else in it");
            if (offset > UINT64_MAX - n)
                return rl_fail(err, RL_E_INVAL, "a data frame beyond the last offset");
            r->offset = offset;
            r->state = IN_DATA;
            return RL_OK;
        }
    }
    return RL_OK;
}

static rl_code take_data(struct rl_frame_reader *r, struct rl_cursor *c, struct rl_error *err)
{
    struct rl_span piece = rl_cursor_bytes(c, c->n < r->left ? c->n : r->left);
    uint64_t offset = r->offset;
    r->offset += piece.n;
    r->left -= piece.n;
    if (r->left == 0)
        r->state = IN_PREFIX;
    return piece.n ? r->ops.data(r->context, offset, piece.p, piece.n, err) : RL_OK;
}

static rl_code take_control(struct rl_frame_reader *r, struct rl_cursor *c, struct rl_error *err)
{
    struct rl_span piece = rl_cursor_bytes(c, c->n < r->left ? c->n : r->left);
    r->left -= piece.n;
    if (r->gathered.n + r->left + piece.n > RL_TUNNEL_CONTROL_BYTES_MAX ||
        !rl_buf_put_span(&r->gathered, piece))
        return rl_fail(err, RL_E_INVAL, "a frame larger than %d bytes",
                       RL_TUNNEL_CONTROL_BYTES_MAX);
    if (r->left)
        return RL_OK;
    r->state = IN_PREFIX;
    Pb__Frame *frame = pb__frame__unpack(NULL, r->gathered.n, r->gathered.p);
    if (!frame)
        return rl_fail(err, RL_E_INVAL, "a malformed frame");
    rl_code rc = frame->data.len
                     ? rl_fail(err, RL_E_INVAL, "a data frame with something else in it")
                     : r->ops.control(r->context, frame, err);
    pb__frame__free_unpacked(frame, NULL);
    rl_buf_clear(&r->gathered);
    return rc;
}

static rl_code take(struct rl_frame_reader *r, struct rl_cursor *c, struct rl_error *err)
{
    switch (r->state) {
    case IN_PREFIX:
        return take_prefix(r, c, err);
    case IN_HEADER:
        return take_header(r, c, err);
    case IN_DATA:
        return take_data(r, c, err);
    case IN_CONTROL:
        return take_control(r, c, err);
    case BROKEN:
        break;
    }
    return rl_fail(err, RL_E_INVAL, "bytes after a malformed frame");
}

static rl_code feed(struct rl_frame_reader *r, struct rl_cursor *c, bool one, struct rl_error *err)
{
    /* A control frame of which nothing is left ends without another byte. */
    while (c->n || (r->state == IN_CONTROL && r->left == 0)) {
        rl_code rc = take(r, c, err);
        if (rc != RL_OK) {
            r->state = BROKEN;
            return rc;
        }
        if (one && rl_frame_reader_is_between(r))
            break;
    }
    return RL_OK;
}

rl_code rl_frame_reader_feed(struct rl_frame_reader *reader, struct rl_span bytes,
                             struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(bytes);
    return feed(reader, &c, false, err);
}

rl_code rl_frame_reader_feed_one(struct rl_frame_reader *reader, struct rl_span bytes,
                                 size_t *taken, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(bytes);
    rl_code rc = feed(reader, &c, true, err);
    if (rc == RL_OK)
        *taken = bytes.n - c.n;
    return rc;
}
