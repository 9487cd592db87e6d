#include "hello.h"

#include "broker.h"
#include "protocol/protocol.h"

#include <string.h>

#define SIGNATURE_BYTES_MAX 256
#define POLICY_NONCE_BYTES_MAX 64

static rl_code check(const Pb__Hello *hello, const struct hello_expect *expect,
                     struct rl_error *err)
{
    if (strcmp(hello->agent_id, expect->agent_id) != 0)
        return rl_fail(err, RL_E_DENIED, "it names another agent than the certificate");
    if (strcmp(hello->broker_id, expect->broker_id) != 0)
        return rl_fail(err, RL_E_DENIED, "it is for another broker");
    if (hello->epoch != expect->epoch ||
        !rl_span_equal(RL_SPAN(hello->nonce.data, hello->nonce.len), expect->nonce))
        return rl_fail(err, RL_E_DENIED, "it answers another challenge");
    if (hello->policy_sha256.len != 0 && hello->policy_sha256.len != 32)
        return rl_fail(err, RL_E_INVAL, "a policy hash of %zu bytes", hello->policy_sha256.len);
    if (hello->policy_nonce.len > POLICY_NONCE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a policy nonce of %zu bytes", hello->policy_nonce.len);
    return rl_protocol_check(hello->protocol, hello->protocol_min, "the agent", err);
}

rl_code hello_check(const Pb__SignedHello *signed_hello, const struct hello_expect *expect,
                    Pb__Hello **out, struct rl_error *err)
{
    if (signed_hello->hello.len == 0 || signed_hello->hello.len > BROKER_HELLO_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a hello of %zu bytes", signed_hello->hello.len);
    if (signed_hello->signature.len == 0 || signed_hello->signature.len > SIGNATURE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "a signature of %zu bytes", signed_hello->signature.len);
    Pb__Hello *hello = pb__hello__unpack(NULL, signed_hello->hello.len, signed_hello->hello.data);
    if (!hello)
        return rl_fail(err, RL_E_INVAL, "a malformed hello");
    rl_code rc = check(hello, expect, err);
    if (rc != RL_OK) {
        pb__hello__free_unpacked(hello, NULL);
        return rc;
    }
    *out = hello;
    return RL_OK;
}
