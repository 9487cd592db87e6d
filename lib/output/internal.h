/* What the files of output share. */
#ifndef RL_OUTPUT_INTERNAL_H
#define RL_OUTPUT_INTERNAL_H

#include "output/output.h"

/* output.c: a full disk or a closed pipe must not look like success to a script */
rl_code rl_output_finish(FILE *to, struct rl_error *err);

/* text.c */
rl_code rl_text_print_table(FILE *to, json_t *array, const struct rl_column *columns, size_t count,
                            const char *empty, struct rl_error *err);
void rl_text_print_object(FILE *to, json_t *object, const struct rl_column *columns, size_t count);

/* yaml.c */
rl_code rl_yaml_print(FILE *to, json_t *value, struct rl_error *err);

#endif
