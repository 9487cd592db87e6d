/* encoder: level 1, because it runs beside a terminal that may show 100 MB at once, and with a
 * checksum, so that a flipped bit is found. */
#include "recording/internal.h"
#include "status/memory.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 1
/* A table of 16 KiB, half of the level's own, stays in the first cache: a tenth off the time. */
#define HASH_LOG 12

struct rl_recording_encoder {
    ZSTD_CCtx *zstd;
    size_t n;
    size_t last_output; /* where the last record begins, when it is output; else NOWHERE */
    uint64_t last_us;   /* of the last record */
    uint8_t raw[RL_RECORDING_RAW_BYTES_MAX];
};

#define NOWHERE SIZE_MAX

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct rl_recording_encoder *rl_recording_encoder_create(void)
{
    struct rl_recording_encoder *e = rl_alloc(sizeof *e);
    e->last_output = NOWHERE;
    e->zstd = ZSTD_createCCtx();
    RL_NEED_MEMORY(e->zstd, 0);
    ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_hashLog, HASH_LOG);
    ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_checksumFlag, 1);
    /* A whole part now, so that later ones find their memory there. */
    struct rl_buf frame;
    rl_buf_init(&frame, RL_RECORDING_PART_BYTES_MAX);
    e->n = sizeof e->raw;
    rl_recording_encoder_finish(e, &frame);
    rl_buf_fini(&frame);
    return e;
}

void rl_recording_encoder_free(struct rl_recording_encoder **encoder)
{
    if (!*encoder)
        return;
    ZSTD_freeCCtx((*encoder)->zstd);
    free(*encoder);
    *encoder = NULL;
}

/* A resize has its place kept free. */
size_t rl_recording_room(const struct rl_recording_encoder *e)
{
    size_t kept = RECORD_HEAD_BYTES + RESIZE_BYTES + RECORD_HEAD_BYTES;
    return e->n + kept < sizeof e->raw ? sizeof e->raw - e->n - kept : 0;
}

static uint8_t *begin(struct rl_recording_encoder *e, enum rl_recording_type type, uint64_t time_us,
                      size_t n)
{
    RL_ASSERT(e->n + RECORD_HEAD_BYTES + n <= sizeof e->raw);
    if (time_us > e->last_us)
        e->last_us = time_us;
    uint8_t *p = e->raw + e->n;
    p[0] = (uint8_t)type;
    put_u32(p + 1, (uint32_t)(e->last_us >> 32));
    put_u32(p + 5, (uint32_t)e->last_us);
    put_u32(p + 9, (uint32_t)n);
    e->n += RECORD_HEAD_BYTES + n;
    return p + RECORD_HEAD_BYTES;
}

void rl_recording_add_output(struct rl_recording_encoder *e, uint64_t time_us,
                             struct rl_span output)
{
    RL_ASSERT(output.n <= rl_recording_room(e));
    if (!output.n)
        return;
    bool is_close = time_us < e->last_us + RL_RECORDING_MERGE_US;
    if (e->last_output != NOWHERE && is_close) {
        uint8_t *length = e->raw + e->last_output + RECORD_HEAD_BYTES - 4;
        put_u32(length, get_u32(length) + (uint32_t)output.n);
        memcpy(e->raw + e->n, output.p, output.n);
        e->n += output.n;
        return;
    }
    e->last_output = e->n;
    memcpy(begin(e, RL_RECORDING_OUTPUT, time_us, output.n), output.p, output.n);
}

void rl_recording_add_resize(struct rl_recording_encoder *e, uint64_t time_us, uint16_t columns,
                             uint16_t rows)
{
    uint8_t *p = begin(e, RL_RECORDING_RESIZE, time_us, RESIZE_BYTES);
    p[0] = (uint8_t)(columns >> 8);
    p[1] = (uint8_t)columns;
    p[2] = (uint8_t)(rows >> 8);
    p[3] = (uint8_t)rows;
    e->last_output = NOWHERE;
}

bool rl_recording_is_empty(const struct rl_recording_encoder *e)
{
    return e->n == 0;
}

void rl_recording_encoder_finish(struct rl_recording_encoder *e, struct rl_buf *frame)
{
    uint8_t *to = rl_buf_reserve(frame, RL_RECORDING_PART_BYTES_MAX);
    RL_ASSERT(to);
    size_t n = ZSTD_compress2(e->zstd, to, RL_RECORDING_PART_BYTES_MAX, e->raw, e->n);
    RL_ASSERT(!ZSTD_isError(n));
    frame->n += n;
    e->n = 0;
    e->last_output = NOWHERE;
}
