/* output: what a command prints. A command builds one JSON value (jansson); --format chooses how it
 * is shown: text as a table, JSON, or YAML, on stdout. Messages go to stderr.
 */
#ifndef RL_OUTPUT_H
#define RL_OUTPUT_H

#include "status/status.h"

#include <jansson.h>
#include <stdio.h>

enum rl_format { RL_FORMAT_TEXT, RL_FORMAT_JSON, RL_FORMAT_YAML };

rl_code rl_format_parse(const char *name, enum rl_format *out, struct rl_error *err);

struct rl_column {
    const char *title; /* "NAME" */
    const char *key;   /* the member of each object; "a.b" for nested; lists join with "," */
};

/** An array of objects: a table in text, `[]` and `[...]` in JSON and YAML. `empty` is what text
 * says when there is none ("No nodes."). Cells are made printable: no escapes reach a terminal. */
rl_code rl_output_table(FILE *to, enum rl_format format, json_t *array,
                        const struct rl_column *columns, size_t count, const char *empty,
                        struct rl_error *err);

/** The same table for people, cell by cell, for lists of thousands: no value is built. */
struct rl_table;
/** `lines`: about how many will come; more may. */
struct rl_table *rl_table_create(const char *const *titles, size_t count, size_t lines);
/** Adds to the current cell; what it is in the end is made printable, "-" when it is empty. */
void rl_table_put(struct rl_table *table, const char *text);
/** Ends the current cell; the last of a line ends the line. */
void rl_table_next(struct rl_table *table);
/** Errors: RL_E_DATA_LOSS; RL_E_EXHAUSTED it is too large. */
rl_code rl_table_print(FILE *to, struct rl_table *table, const char *empty, struct rl_error *err);
void rl_table_free(struct rl_table **table);

/** One object: "Title: value" lines in text. */
rl_code rl_output_object(FILE *to, enum rl_format format, json_t *object,
                         const struct rl_column *columns, size_t count, struct rl_error *err);
/** The value as it is, JSON (indented, newline at the end) or YAML. */
rl_code rl_output_value(FILE *to, enum rl_format format, json_t *value, struct rl_error *err);

/** What each program's `version` says: {version, commit, built}; built is the commit's time. */
rl_code rl_output_version(FILE *to, enum rl_format format, const char *program,
                          struct rl_error *err);

/** One line on stderr, made printable: it may quote a server. */
void rl_output_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Says "PROGRAM: message"; the exit status that belongs to the code. */
int rl_output_fail(const char *program, const struct rl_error *err);
/** After rl_settings_read() failed: 0 for --help, else says it and gives 2. */
int rl_output_usage(const char *program, rl_code code, const struct rl_error *err);

/** Exit statuses of tsh and tctl (the contract). */
enum rl_exit { RL_EXIT_DONE, RL_EXIT_FAILED, RL_EXIT_USAGE, RL_EXIT_LOGIN, RL_EXIT_DENIED };
/** DENIED -> 4, UNAUTHENTICATED -> 3, INVAL -> 1 (usage errors are found before), else 1. */
int rl_exit_of(rl_code code);

#endif
