/* fuzz_proxy_protocol: a header from whoever reaches the listener behind the proxy. The signature's
 * reader runs too, with a trust that knows nobody: nothing may pass it. */
#include "tls/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rl_trust *nobody;
    static const uint8_t hello_random[32];
    struct rl_proxy_header header;
    if (!nobody)
        nobody = rl_trust_create("main");
    if (rl_proxy_header_parse(RL_SPAN(data, size), &header, NULL) != RL_PROXY_WHOLE)
        return 0;
    RL_ASSERT(header.bytes <= size);
    RL_ASSERT(rl_proxy_header_verify(&header, nobody, hello_random, 1800000000, NULL, NULL, NULL) !=
              RL_OK);
    return 0;
}
