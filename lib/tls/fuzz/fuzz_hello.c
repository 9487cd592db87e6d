/* fuzz_hello: whatever a stranger sends first to the public port. */
#include "tls/hello.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_client_hello hello;
    if (rl_client_hello_parse(RL_SPAN(data, size), &hello, NULL) != RL_HELLO_WHOLE)
        return 0;
    RL_ASSERT(memchr(hello.sni, 0, sizeof hello.sni));
    RL_ASSERT(strspn(hello.sni, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(hello.sni));
    RL_ASSERT(hello.alpn_count <= RL_HELLO_ALPN_MAX);
    for (size_t i = 0; i < hello.alpn_count; i++)
        RL_ASSERT(memchr(hello.alpn[i], 0, sizeof hello.alpn[i]));
    return 0;
}
