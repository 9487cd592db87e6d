/* text: tables for people. What a peer chose to call itself is shown, and never obeyed by the
 * terminal.
 */
#include "output/internal.h"

#include "bytes/buf.h"
#include "bytes/utf8.h"
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

/* "-" where there is nothing, so that columns can be counted. Heap. */
static char *cell_of(json_t *object, const char *key)
{
    struct rl_buf raw;
    rl_buf_init(&raw, CELL_BYTES_MAX);
    put_value(&raw, member(object, key), 0);
    char *cell = rl_name_printable(raw.n ? rl_buf_text(&raw) : "-");
    rl_buf_fini(&raw);
    return cell;
}

/* ---- tables ---- */

static size_t width_of(const char *text)
{
    size_t width = 0, n = strlen(text);
    while (n) {
        uint32_t point;
        size_t length = rl_utf8_next(text, n, &point);
        size_t taken = length ? length : 1;
        text += taken;
        n -= taken;
        width++;
    }
    return width;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void put_padding(FILE *to, const char *before, size_t width)
{
    fprintf(to, "%*s", (int)(width - width_of(before) + GAP), "");
}

/* The last column is not padded: no line ends in spaces. */
static void print_line(FILE *to, char *const *cells, const size_t *widths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(cells[i], to);
        if (i + 1 < count)
            put_padding(to, cells[i], widths[i]);
    }
    fputc('\n', to);
}

void rl_text_print_table(FILE *to, json_t *array, const struct rl_column *columns, size_t count,
                         const char *empty)
{
    size_t lines = json_array_size(array) + 1; /* with the titles */
    if (lines == 1) {
        if (empty)
            fprintf(to, "%s\n", empty);
        return;
    }
    char **cells = rl_alloc_array(lines * count, sizeof *cells);
    size_t *widths = rl_alloc_array(count, sizeof *widths);
    for (size_t line = 0; line < lines; line++)
        for (size_t i = 0; i < count; i++) {
            char *cell = line == 0 ? rl_strdup(columns[i].title)
                                   : cell_of(json_array_get(array, line - 1), columns[i].key);
            cells[line * count + i] = cell;
            widths[i] = larger(widths[i], width_of(cell));
        }
    for (size_t line = 0; line < lines; line++)
        print_line(to, cells + line * count, widths, count);
    for (size_t i = 0; i < lines * count; i++)
        free(cells[i]);
    free(cells);
    free(widths);
}

void rl_text_print_object(FILE *to, json_t *object, const struct rl_column *columns, size_t count)
{
    size_t width = 0;
    for (size_t i = 0; i < count; i++)
        width = larger(width, width_of(columns[i].title));
    for (size_t i = 0; i < count; i++) {
        char *cell = cell_of(object, columns[i].key);
        fprintf(to, "%s:", columns[i].title);
        put_padding(to, columns[i].title, width);
        fprintf(to, "%s\n", cell);
        free(cell);
    }
}
