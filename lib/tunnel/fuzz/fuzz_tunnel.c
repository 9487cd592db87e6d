/* A stream of frames as a stranger sends it: no crash; read in one piece and byte by byte it says
 * the same; data never goes back. */
#include "fuzz.h"
#include "tunnel/tunnel.h"

#include <stdlib.h>

struct seen {
    uint64_t bytes, sum, controls;
};

static rl_code on_data(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                       struct rl_error *err)
{
    (void)err;
    struct seen *seen = context;
    for (size_t i = 0; i < n; i++)
        seen->sum = seen->sum * 31 + bytes[i] + offset + i;
    seen->bytes += n;
    return RL_OK;
}

static rl_code on_control(void *context, const Pb__Frame *frame, struct rl_error *err)
{
    (void)err;
    struct seen *seen = context;
    if (frame->data.len)
        abort();
    seen->controls++;
    return RL_OK;
}

static rl_code read_by(size_t step, struct rl_span input, struct seen *seen)
{
    static const struct rl_frame_reader_ops ops = {.data = on_data, .control = on_control};
    struct rl_frame_reader *reader = rl_frame_reader_create(&ops, seen);
    rl_code rc = RL_OK;
    struct rl_error err;
    for (size_t at = 0; at < input.n && rc == RL_OK; at += step) {
        size_t n = input.n - at < step ? input.n - at : step;
        rc = rl_frame_reader_feed(reader, RL_SPAN(input.p + at, n), &err);
    }
    rl_frame_reader_free(&reader);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_span input = RL_SPAN(data, size);
    struct seen whole = {0}, pieces = {0};
    rl_code a = read_by(size ? size : 1, input, &whole);
    rl_code b = read_by(1, input, &pieces);
    FUZZ_EXPECT(a == b && whole.bytes == pieces.bytes && whole.sum == pieces.sum &&
                whole.controls == pieces.controls);
    return 0;
}
