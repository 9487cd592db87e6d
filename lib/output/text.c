/* text: values for people. What a peer chose to call itself is shown, and never obeyed by the
 * terminal.
 */
#include "output/internal.h"

#include "bytes/buf.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define GAP 2
/* Lists and objects in a cell: deeper ones show as "...". */
#define DEPTH_MAX 4
#define CELL_BYTES_MAX (1u << 20) /* what is longer is cut */

/* ---- cells ---- */

static void put_value(struct rl_buf *to, json_t *value, size_t depth);

static void put_list(struct rl_buf *to, json_t *list, size_t depth)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        rl_buf_put_text(to, i ? "," : "");
        put_value(to, item, depth + 1);
    }
}

static void put_pairs(struct rl_buf *to, json_t *object, size_t depth)
{
    const char *key;
    json_t *item;
    const char *separator = "";
    json_object_foreach(object, key, item)
    {
        rl_buf_put_text(to, separator);
        rl_buf_put_text(to, key);
        rl_buf_put_u8(to, '=');
        put_value(to, item, depth + 1);
        separator = ",";
    }
}

static void put_value(struct rl_buf *to, json_t *value, size_t depth)
{
    if (depth > DEPTH_MAX)
        rl_buf_put_text(to, "...");
    else if (json_is_string(value))
        rl_buf_put_text(to, json_string_value(value));
    else if (json_is_integer(value))
        rl_buf_printf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        rl_buf_printf(to, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        rl_buf_put_text(to, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value))
        put_list(to, value, depth);
    else if (json_is_object(value))
        put_pairs(to, value, depth);
}

/* The member itself, or through objects: "a.b". */
static json_t *member(json_t *object, const char *key)
{
    json_t *direct = json_object_get(object, key);
    const char *dot = strchr(key, '.');
    if (direct || !dot)
        return direct;
    char *first = rl_sprintf("%.*s", (int)(dot - key), key);
    json_t *inner = json_object_get(object, first);
    free(first);
    return inner ? member(inner, dot + 1) : NULL;
}

/* ---- tables ---- */

rl_code rl_text_print_table(FILE *to, json_t *array, const struct rl_column *columns, size_t count,
                            const char *empty, struct rl_error *err)
{
    const char **titles = rl_alloc_array(count, sizeof *titles);
    for (size_t i = 0; i < count; i++)
        titles[i] = columns[i].title;
    struct rl_table *table = rl_table_create(titles, count, json_array_size(array));
    struct rl_buf raw;
    rl_buf_init(&raw, CELL_BYTES_MAX);
    for (size_t line = 0; line < json_array_size(array); line++)
        for (size_t i = 0; i < count; i++) {
            rl_buf_clear(&raw);
            put_value(&raw, member(json_array_get(array, line), columns[i].key), 0);
            rl_table_put(table, rl_buf_text(&raw));
            rl_table_next(table);
        }
    rl_code rc = rl_table_print(to, table, empty, err);
    rl_table_free(&table);
    rl_buf_fini(&raw);
    free(titles);
    return rc;
}

/* ---- one object ---- */

/* "-" where there is nothing. Heap. */
static char *cell_of(json_t *object, const char *key)
{
    struct rl_buf raw;
    rl_buf_init(&raw, CELL_BYTES_MAX);
    put_value(&raw, member(object, key), 0);
    char *cell = rl_name_printable(raw.n ? rl_buf_text(&raw) : "-");
    rl_buf_fini(&raw);
    return cell;
}

void rl_text_print_object(FILE *to, json_t *object, const struct rl_column *columns, size_t count)
{
    size_t width = 0;
    for (size_t i = 0; i < count; i++)
        width = strlen(columns[i].title) > width ? strlen(columns[i].title) : width;
    for (size_t i = 0; i < count; i++) {
        char *cell = cell_of(object, columns[i].key);
        fprintf(to, "%s:%*s%s\n", columns[i].title, (int)(width - strlen(columns[i].title) + GAP),
                "", cell);
        free(cell);
    }
}
