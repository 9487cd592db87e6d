/* Frames as they are written. Source: gRPC over HTTP/2, "Length-Prefixed-Message"; Protocol
 * Buffers, "Encoding".
 */
#include "tunnel/tunnel.h"

#define TAG_OFFSET 0x08
#define TAG_DATA 0x12
#define LENGTH_BYTES 3 /* 21 bits: more than RL_TUNNEL_DATA_BYTES_MAX */

static size_t varint_bytes(uint64_t value)
{
    size_t n = 1;
    for (; value > 0x7f; value >>= 7)
        n++;
    return n;
}

static size_t varint_write(uint8_t *to, uint64_t value)
{
    size_t n = 0;
    for (; value > 0x7f; value >>= 7)
        to[n++] = (uint8_t)(value | 0x80);
    to[n++] = (uint8_t)value;
    return n;
}

static void prefix_write(uint8_t *to, size_t message_bytes)
{
    to[0] = 0; /* not compressed */
    to[1] = (uint8_t)(message_bytes >> 24);
    to[2] = (uint8_t)(message_bytes >> 16);
    to[3] = (uint8_t)(message_bytes >> 8);
    to[4] = (uint8_t)message_bytes;
}

size_t rl_frame_data_header_bytes(uint64_t offset)
{
    return RL_TUNNEL_PREFIX_BYTES + 1 + varint_bytes(offset) + 1 + LENGTH_BYTES;
}

size_t rl_frame_data_header_write(uint8_t *to, uint64_t offset, size_t n)
{
    RL_ASSERT(n >= 1 && n <= RL_TUNNEL_DATA_BYTES_MAX);
    size_t header = rl_frame_data_header_bytes(offset);
    prefix_write(to, header - RL_TUNNEL_PREFIX_BYTES + n);
    uint8_t *p = to + RL_TUNNEL_PREFIX_BYTES;
    *p++ = TAG_OFFSET;
    p += varint_write(p, offset);
    *p++ = TAG_DATA;
    p[0] = (uint8_t)(n | 0x80);
    p[1] = (uint8_t)(n >> 7 | 0x80);
    p[2] = (uint8_t)(n >> 14);
    return header;
}

rl_code rl_frame_write(const Pb__Frame *frame, struct rl_buf *out, struct rl_error *err)
{
    RL_ASSERT(frame->data.len == 0);
    size_t n = pb__frame__get_packed_size(frame);
    if (n > RL_TUNNEL_CONTROL_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a frame of %zu bytes; at most %d are allowed", n,
                       RL_TUNNEL_CONTROL_BYTES_MAX);
    uint8_t *to = rl_buf_reserve(out, RL_TUNNEL_PREFIX_BYTES + n);
    if (!to)
        return rl_fail(err, RL_E_EXHAUSTED, "no room for a frame of %zu bytes", n);
    prefix_write(to, n);
    pb__frame__pack(frame, to + RL_TUNNEL_PREFIX_BYTES);
    out->n += RL_TUNNEL_PREFIX_BYTES + n;
    return RL_OK;
}
