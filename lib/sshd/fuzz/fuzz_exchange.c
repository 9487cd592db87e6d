/* What a transport that was taken over sends to have signed. */
#include "sshd/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t hash[EXCHANGE_HASH_BYTES_MAX];
    size_t n = 0;
    struct rl_error err;
    struct exchange_expected expected = {.host_public = rl_span_of("host key")};
    rl_exchange_hash(RL_SPAN(data, size), &expected, hash, &n, &err);
    return 0;
}
