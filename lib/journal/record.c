#include "journal/record.h"

#define LENGTH_BYTES 4

void record_put(struct rl_buf *out, const Pb__Event *event)
{
    size_t n = pb__event__get_packed_size(event);
    uint8_t *to = rl_buf_reserve(out, LENGTH_BYTES + n);
    if (!to)
        return;
    rl_buf_put_u32(out, (uint32_t)n);
    out->n += pb__event__pack(event, out->p + out->n);
}

size_t records_read(struct rl_span content, void (*take)(void *context, Pb__Event **event),
                    void *context)
{
    struct rl_cursor c = rl_cursor_of(content);
    size_t whole = 0;
    while (c.n) {
        uint32_t n = rl_cursor_u32(&c);
        struct rl_span packed = rl_cursor_bytes(&c, n);
        Pb__Event *event = c.failed ? NULL : rl_event_unpack(packed);
        if (!event || rl_event_check(event, NULL) != RL_OK) {
            rl_event_free(&event);
            break;
        }
        take(context, &event);
        whole = content.n - c.n;
    }
    return whole;
}
