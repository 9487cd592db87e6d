/* Documents as anybody may write them: no crash, and what was taken once is written so that it is
 * read the same again. */
#include "fuzz.h"
#include "resource/resource.h"

#include <stdlib.h>
#include <string.h>

static bool write_yaml(Pb__Resource *const *resources, size_t count, struct rl_buf *out)
{
    rl_buf_init(out, 16 * RL_RESOURCE_BYTES_MAX);
    rl_code code = rl_resources_to_yaml(resources, count, out, NULL);
    FUZZ_EXPECT(code == RL_OK);
    return code == RL_OK;
}

/* Times are shown to the millisecond and secrets not at all, so it is the second text that counts.
 */
static void expect_fixed_point(Pb__Resource *const *resources, size_t count)
{
    struct rl_buf first, second;
    Pb__Resource **again = NULL;
    size_t again_count = 0;
    struct rl_error err;
    bool is_written = write_yaml(resources, count, &first);
    if (is_written &&
        rl_resources_parse(rl_buf_span(&first), &again, &again_count, &err) == RL_OK) {
        if (write_yaml(again, again_count, &second) &&
            (again_count != count || !rl_span_equal(rl_buf_span(&first), rl_buf_span(&second))))
            abort();
        rl_buf_fini(&second);
    } else {
        FUZZ_EXPECT(first.n > RL_RESOURCE_BYTES_MAX);
    }
    rl_resources_free(&again, again_count);
    rl_buf_fini(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Pb__Resource **resources = NULL;
    size_t count = 0;
    struct rl_error err;
    if (rl_resources_parse(RL_SPAN(data, size), &resources, &count, &err) == RL_OK) {
        for (size_t i = 0; i < count; i++)
            rl_resource_check(resources[i], &err);
        expect_fixed_point(resources, count);
    }
    rl_resources_free(&resources, count);
    char *text = rl_span_to_string(RL_SPAN(data, size));
    Pb__Label **labels = NULL;
    size_t label_count = 0;
    if (text && rl_labels_parse(text, &labels, &label_count, &err) == RL_OK)
        for (size_t i = 0; i < label_count; i++)
            pb__label__free_unpacked(labels[i], NULL);
    free(labels);
    free(text);
    return 0;
}
