/* labels: lists of messages as the arrays of text that the tables hold, and back. */
#ifndef RL_AUTH_DB_LABELS_H
#define RL_AUTH_DB_LABELS_H

#include "remoteler/v1/resource.pb-c.h"
#include "store/store.h"

/** Borrow the labels' text. */
struct rl_label_arrays {
    const char **keys, **values;
    size_t count;
};
void rl_label_arrays_init(struct rl_label_arrays *arrays, Pb__Label *const *labels, size_t count);
void rl_label_arrays_fini(struct rl_label_arrays *arrays);
/** Appends the labels of two columns to a repeated field; one whose key is there is replaced. */
void rl_labels_of_row(struct rl_rows *rows, size_t row, size_t key_column, Pb__Label ***labels,
                      size_t *count);
void rl_labels_set(Pb__Label ***labels, size_t *count, const char *key, const char *value);
void rl_labels_free(Pb__Label ***labels, size_t *count);
/** Appends a text[] column to a repeated string. */
void rl_texts_of_row(struct rl_rows *rows, size_t row, size_t column, char ***texts, size_t *count);

#endif
