/* fuzz_request: a remoteler-connect request in pieces of any size, as a user may send it: never
 * read beyond its end, and nothing accepted but ssh to a named node, and of another cluster its
 * auth and its audit.
 */
#include "../request.h"

#include "../proxy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_sane(const Pb__ConnectRequest *request)
{
    struct rl_error err;
    if (request_check(request, "main", &err) != RL_OK)
        return;
    bool is_ssh = strcmp(request->kind, "ssh") == 0;
    RL_ASSERT(is_ssh == (request->target[0] != '\0'));
    RL_ASSERT(is_ssh ||
              (request_is_for_leaf(request, "main") &&
               (strcmp(request->kind, "auth") == 0 || strcmp(request->kind, "audit") == 0)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = 0, missing;
    while ((missing = request_missing(RL_SPAN(data, n))) > 0) {
        if (missing == SIZE_MAX || missing > size - n)
            return 0;
        n += missing;
        RL_ASSERT(n <= REQUEST_LENGTH_BYTES + PROXY_REQUEST_BYTES_MAX);
    }
    Pb__ConnectRequest *request = request_read(RL_SPAN(data, n));
    if (!request)
        return 0;
    expect_sane(request);
    pb__connect_request__free_unpacked(request, NULL);
    return 0;
}
