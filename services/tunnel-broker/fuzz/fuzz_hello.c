/* A hello as any agent may send it: what passes answers this challenge, at this broker, in the name
 * of its certificate. */
#include "hello.h"

#include "broker.h"

#include <string.h>

#define AGENT "0190c0de-0000-7000-8000-0000000000a1"
#define BROKER "0190c0de-0000-7000-8000-0000000000b1"
#define EPOCH 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct hello_expect expect = {
        .agent_id = AGENT, .broker_id = BROKER, .epoch = EPOCH, .nonce = rl_span_of("0123456789")};
    Pb__AgentMessage *message = pb__agent_message__unpack(NULL, size, data);
    Pb__Hello *hello = NULL;
    if (message && message->hello && hello_check(message->hello, &expect, &hello, NULL) == RL_OK) {
        RL_ASSERT(message->hello->hello.len <= BROKER_HELLO_BYTES_MAX);
        RL_ASSERT(strcmp(hello->agent_id, AGENT) == 0 && strcmp(hello->broker_id, BROKER) == 0);
        RL_ASSERT(hello->epoch == EPOCH);
        pb__hello__free_unpacked(hello, NULL);
    }
    pb__agent_message__free_unpacked(message, NULL);
    return 0;
}
