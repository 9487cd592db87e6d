/* labels: keys and values lie in two columns beside each other. */
#include "db/labels.h"

#include "message.h"

#include <stdlib.h>
#include <string.h>

void rl_label_arrays_init(struct rl_label_arrays *arrays, Pb__Label *const *labels, size_t count)
{
    arrays->keys = rl_alloc_array(count, sizeof *arrays->keys);
    arrays->values = rl_alloc_array(count, sizeof *arrays->values);
    arrays->count = count;
    for (size_t i = 0; i < count; i++) {
        arrays->keys[i] = labels[i]->key;
        arrays->values[i] = labels[i]->value;
    }
}

void rl_label_arrays_fini(struct rl_label_arrays *arrays)
{
    free(arrays->keys);
    free(arrays->values);
    *arrays = (struct rl_label_arrays){NULL, NULL, 0};
}

void rl_labels_set(Pb__Label ***labels, size_t *count, const char *key, const char *value)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*labels)[i]->key, key) == 0) {
            rl_message_text(&(*labels)[i]->value, value);
            return;
        }
    Pb__Label *label = rl_message_create(&pb__label__descriptor);
    rl_message_text(&label->key, key);
    rl_message_text(&label->value, value);
    rl_message_append(labels, count, label);
}

void rl_labels_free(Pb__Label ***labels, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        pb__label__free_unpacked((*labels)[i], NULL);
    free(*labels);
    *labels = NULL;
    *count = 0;
}

void rl_labels_of_row(struct rl_rows *rows, size_t row, size_t key_column, Pb__Label ***labels,
                      size_t *count)
{
    const char *const *keys = NULL;
    const char *const *values = NULL;
    size_t key_count = rl_row_texts(rows, row, key_column, &keys);
    size_t value_count = rl_row_texts(rows, row, key_column + 1, &values);
    for (size_t i = 0; i < key_count && i < value_count; i++)
        rl_labels_set(labels, count, keys[i], values[i]);
}

void rl_texts_of_row(struct rl_rows *rows, size_t row, size_t column, char ***texts, size_t *count)
{
    const char *const *items = NULL;
    size_t n = rl_row_texts(rows, row, column, &items);
    for (size_t i = 0; i < n; i++)
        rl_message_append(texts, count, rl_strdup(items[i]));
}
