/* What a peer may write into gRPC's own fields. */
#include "bytes/utf8.h"
#include "fuzz.h"
#include "rpc/wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_span text = RL_SPAN(data, size);
    char message[RL_ERROR_MESSAGE_BYTES], again[RL_ERROR_MESSAGE_BYTES];
    rl_rpc_message_decode(text, message);
    size_t n = strlen(message);
    for (size_t i = 0; i < n;) {
        uint32_t point;
        size_t length = rl_utf8_next(message + i, n - i, &point);
        RL_ASSERT(length > 0 && !rl_utf8_is_control(point));
        i += length;
    }
    /* What was decoded comes back as it was. */
    struct rl_buf wire;
    rl_buf_init(&wire, 3 * sizeof message);
    bool is_encoded = rl_rpc_message_encode(message, &wire);
    FUZZ_EXPECT(is_encoded);
    rl_rpc_message_decode(rl_buf_span(&wire), again);
    RL_ASSERT(!is_encoded || strcmp(message, again) == 0);
    rl_buf_fini(&wire);

    uint64_t timeout_ms = 0;
    if (rl_rpc_timeout_parse(text, &timeout_ms, NULL) == RL_OK)
        RL_ASSERT(timeout_ms <= 99999999ull * 3600000);
    RL_ASSERT(rl_rpc_status_parse(text) <= RL_E_UNAUTHENTICATED);
    return 0;
}
