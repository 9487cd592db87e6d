/* decoder: what it reads was written by a node, which may be anybody's by now. A frame says how
 * large its content is, and no more memory than a part's is ever given to it. */
#include "recording/internal.h"
#include "status/memory.h"

#include <stdlib.h>
#include <zstd.h>

struct rl_recording_decoder {
    ZSTD_DCtx *zstd;
    struct rl_cursor rest;
    uint8_t raw[RL_RECORDING_RAW_BYTES_MAX];
};

rl_code rl_recording_check_frame(struct rl_span frame, struct rl_error *err)
{
    if (frame.n > RL_RECORDING_PART_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a part of a recording has %zu bytes; at most %u", frame.n,
                       RL_RECORDING_PART_BYTES_MAX);
    size_t whole = ZSTD_findFrameCompressedSize(frame.p, frame.n);
    if (ZSTD_isError(whole) || whole != frame.n)
        return rl_fail(err, RL_E_INVAL, "a part of a recording is not one frame of zstd");
    unsigned long long raw = ZSTD_getFrameContentSize(frame.p, frame.n);
    if (raw == ZSTD_CONTENTSIZE_UNKNOWN || raw == ZSTD_CONTENTSIZE_ERROR ||
        raw > RL_RECORDING_RAW_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL,
                       "a part of a recording does not say its size, or is larger than %u bytes",
                       RL_RECORDING_RAW_BYTES_MAX);
    return RL_OK;
}

struct rl_recording_decoder *rl_recording_decoder_create(void)
{
    struct rl_recording_decoder *d = rl_alloc(sizeof *d);
    d->zstd = ZSTD_createDCtx();
    RL_NEED_MEMORY(d->zstd, 0);
    return d;
}

void rl_recording_decoder_free(struct rl_recording_decoder **decoder)
{
    if (!*decoder)
        return;
    ZSTD_freeDCtx((*decoder)->zstd);
    free(*decoder);
    *decoder = NULL;
}

/* Only a record that is whole and of a known type moves the cursor on. */
static bool read_record(struct rl_cursor *c, struct rl_recording_record *out)
{
    uint8_t type = rl_cursor_u8(c);
    uint64_t time_us = rl_cursor_u64(c);
    struct rl_span body = rl_cursor_string(c);
    *out = (struct rl_recording_record){.type = type, .time_us = time_us};
    if (c->failed)
        return false;
    if (type == RL_RECORDING_OUTPUT) {
        out->output = body;
        return true;
    }
    struct rl_cursor size = rl_cursor_of(body);
    out->columns = rl_cursor_u16(&size);
    out->rows = rl_cursor_u16(&size);
    return type == RL_RECORDING_RESIZE && rl_cursor_done(&size);
}

static bool all_can_be_read(struct rl_cursor c)
{
    struct rl_recording_record record;
    uint64_t last_us = 0;
    while (c.n) {
        if (!read_record(&c, &record) || record.time_us < last_us)
            return false;
        last_us = record.time_us;
    }
    return true;
}

rl_code rl_recording_decode(struct rl_recording_decoder *d, struct rl_span frame,
                            struct rl_error *err)
{
    d->rest = rl_cursor_of(RL_SPAN(NULL, 0));
    struct rl_error why;
    if (rl_recording_check_frame(frame, &why) != RL_OK)
        return rl_fail(err, RL_E_DATA_LOSS, "%s", why.message);
    size_t n = ZSTD_decompressDCtx(d->zstd, d->raw, sizeof d->raw, frame.p, frame.n);
    if (ZSTD_isError(n))
        return rl_fail(err, RL_E_DATA_LOSS, "a part of a recording is damaged: %s",
                       ZSTD_getErrorName(n));
    struct rl_cursor c = rl_cursor_of(RL_SPAN(d->raw, n));
    if (!all_can_be_read(c))
        return rl_fail(err, RL_E_DATA_LOSS, "a part of a recording holds what is no record");
    d->rest = c;
    return RL_OK;
}

bool rl_recording_next(struct rl_recording_decoder *d, struct rl_recording_record *out)
{
    return d->rest.n && read_record(&d->rest, out);
}
