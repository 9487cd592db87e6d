/* labels: keys AND, values OR. {"*": "*"} is every resource, also one without labels; no condition
 * at all is none. */
#include "authz/internal.h"

#include <string.h>

static bool is_star(const char *text)
{
    return text[0] == '*' && text[1] == '\0';
}

static bool value_matches(const char *pattern, const char *value, bool on_error)
{
    switch (rl_pattern_match(pattern, value, NULL)) {
    case RL_OK:
        return true;
    case RL_E_NOT_FOUND:
        return false;
    default:
        return on_error;
    }
}

static bool key_matches(const Pb__LabelMatch *want, size_t label_count, Pb__Label *const *labels,
                        bool on_error)
{
    if (want->n_values == 0)
        return on_error;
    if (is_star(want->key)) /* "any key" has one meaning only: any resource */
        return want->n_values == 1 && is_star(want->values[0]) ? true : on_error;
    for (size_t i = 0; i < label_count; i++) {
        if (strcmp(labels[i]->key, want->key) != 0)
            continue;
        for (size_t j = 0; j < want->n_values; j++)
            if (value_matches(want->values[j], labels[i]->value, on_error))
                return true;
    }
    return false;
}

bool labels_match(size_t want_count, Pb__LabelMatch *const *want, size_t label_count,
                  Pb__Label *const *labels, bool on_error)
{
    for (size_t i = 0; i < want_count; i++)
        if (!key_matches(want[i], label_count, labels, on_error))
            return false;
    return want_count > 0;
}
