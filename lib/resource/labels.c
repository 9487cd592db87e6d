/* labels: "a=b,c=d" from a command line. */
#include "names/names.h"
#include "resource/resource.h"

#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64

struct list {
    Pb__Label *items[LABELS_MAX];
    size_t count;
};

static rl_code check_new(const struct list *list, const Pb__Label *label, struct rl_error *err)
{
    rl_code code = rl_name_check_label(label->key, label->value, err);
    for (size_t i = 0; i < list->count && code == RL_OK; i++)
        if (strcmp(list->items[i]->key, label->key) == 0)
            code = rl_fail(err, RL_E_INVAL, "the label \"%s\" twice", label->key);
    return code;
}

static rl_code add_label(struct list *list, const char *text, size_t n, struct rl_error *err)
{
    const char *equals = memchr(text, '=', n);
    if (!equals)
        return rl_fail(err, RL_E_INVAL, "\"%.*s\" is not a label; write key=value",
                       n < 80 ? (int)n : 80, text);
    if (list->count == LABELS_MAX)
        return rl_fail(err, RL_E_INVAL, "more than %d labels", LABELS_MAX);
    Pb__Label *label = rl_alloc(sizeof *label);
    pb__label__init(label);
    label->key = rl_sprintf("%.*s", (int)(equals - text), text);
    label->value = rl_sprintf("%.*s", (int)(text + n - equals - 1), equals + 1);
    rl_code code = check_new(list, label, err);
    if (code == RL_OK)
        list->items[list->count++] = label;
    else
        pb__label__free_unpacked(label, NULL);
    return code;
}

static rl_code add_text(struct list *list, const char *text, struct rl_error *err)
{
    rl_code code = RL_OK;
    for (const char *at = text; *at && code == RL_OK;) {
        size_t n = strcspn(at, ",");
        code = add_label(list, at, n, err);
        at += n + (at[n] == ',');
    }
    return code;
}

rl_code rl_labels_parse_list(char *const *items, size_t item_count, Pb__Label ***out, size_t *count,
                             struct rl_error *err)
{
    struct list list = {.count = 0};
    rl_code code = RL_OK;
    for (size_t i = 0; i < item_count && code == RL_OK; i++)
        code = add_text(&list, items[i], err);
    if (code == RL_OK) {
        *out = rl_alloc_array(list.count, sizeof **out);
        memcpy(*out, list.items, list.count * sizeof *list.items);
        *count = list.count;
        return RL_OK;
    }
    for (size_t i = 0; i < list.count; i++)
        pb__label__free_unpacked(list.items[i], NULL);
    return code;
}

rl_code rl_labels_parse(const char *text, Pb__Label ***out, size_t *count, struct rl_error *err)
{
    char *items[] = {(char *)(uintptr_t)text};
    return rl_labels_parse_list(items, 1, out, count, err);
}

void rl_labels_free(Pb__Label ***labels, size_t count)
{
    for (size_t i = 0; *labels && i < count; i++)
        pb__label__free_unpacked((*labels)[i], NULL);
    free(*labels);
    *labels = NULL;
}
