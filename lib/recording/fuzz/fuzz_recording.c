/* A part as anybody's node may have written it: read, and made plain. The first byte says whether
 * the rest is a frame or what would be in one. */
#include "recording/recording.h"
#include "recording/text.h"

#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void nothing(void *context, struct rl_span line)
{
    (void)context;
    for (size_t i = 0; i < line.n; i++)
        RL_ASSERT(line.p[i] >= 0x20 && line.p[i] != 0x7F);
}

static void read_frame(struct rl_span frame)
{
    struct rl_recording_decoder *decoder = rl_recording_decoder_create();
    struct rl_recording_text *text = rl_recording_text_create(nothing, NULL);
    struct rl_recording_record record;
    uint64_t last_us = 0;
    if (rl_recording_decode(decoder, frame, NULL) == RL_OK)
        while (rl_recording_next(decoder, &record)) {
            RL_ASSERT(record.time_us >= last_us);
            last_us = record.time_us;
            if (record.type == RL_RECORDING_OUTPUT)
                rl_recording_text_add(text, record.output);
        }
    rl_recording_text_end(text);
    rl_recording_text_free(&text);
    rl_recording_decoder_free(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1) {
        read_frame(RL_SPAN(data + 1, size - 1));
        return 0;
    }
    static uint8_t frame[RL_RECORDING_PART_BYTES_MAX];
    size_t n = ZSTD_compress(frame, sizeof frame, data + 1, size - 1, 1);
    if (!ZSTD_isError(n))
        read_frame(RL_SPAN(frame, n));
    return 0;
}
