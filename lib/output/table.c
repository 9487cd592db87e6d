/* table: cells one behind the other in one buffer, each with a NUL behind it, so that thousands of
 * lines cost no allocation each; printed when the widths of the columns are known.
 */
#include "output/internal.h"

#include "bytes/buf.h"
#include "bytes/utf8.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define GAP 2
#define TABLE_BYTES_MAX (256u << 20)
#define CELL_BYTES 24           /* about */
#define WRITE_BYTES (32u << 10) /* at once */

struct rl_table {
    size_t columns, column;
    size_t *widths;
    struct rl_buf cells;
    size_t lines, cell; /* where the current cell begins */
    bool is_ascii;      /* so far: each byte is a column wide */
};

struct rl_table *rl_table_create(const char *const *titles, size_t count, size_t lines)
{
    RL_ASSERT(count > 0);
    struct rl_table *table = rl_alloc(sizeof *table);
    table->columns = count;
    table->is_ascii = true;
    table->widths = rl_alloc_array(count, sizeof *table->widths);
    rl_buf_init(&table->cells, TABLE_BYTES_MAX);
    if (lines < TABLE_BYTES_MAX / CELL_BYTES / count)
        (void)rl_buf_reserve(&table->cells, lines * count * CELL_BYTES);
    for (size_t i = 0; i < count; i++) {
        rl_table_put(table, titles[i]);
        rl_table_next(table);
    }
    return table;
}

void rl_table_free(struct rl_table **table)
{
    struct rl_table *t = *table;
    if (!t)
        return;
    rl_buf_fini(&t->cells);
    free(t->widths);
    free(t);
    *table = NULL;
}

void rl_table_put(struct rl_table *table, const char *text)
{
    rl_buf_put_text(&table->cells, text);
}

static bool is_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

static size_t width_of(const char *text, size_t n)
{
    size_t width = 0;
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

/* What is printable is never longer than what it stands for. The width. */
static size_t make_printable(struct rl_table *table)
{
    struct rl_buf *cells = &table->cells;
    const char *raw = rl_buf_text(cells) + table->cell;
    if (is_plain(raw, cells->n - table->cell))
        return cells->n - table->cell;
    char *printable = rl_name_printable(raw);
    cells->n = table->cell;
    rl_buf_put_text(cells, printable);
    table->is_ascii = false;
    size_t width = width_of(printable, strlen(printable));
    free(printable);
    return width;
}

void rl_table_next(struct rl_table *table)
{
    struct rl_buf *cells = &table->cells;
    if (cells->n == table->cell) /* so that columns can be counted */
        rl_buf_put_u8(cells, '-');
    if (cells->failed)
        return;
    size_t width = make_printable(table);
    if (width > table->widths[table->column])
        table->widths[table->column] = width;
    rl_buf_put_u8(cells, 0);
    table->cell = cells->n;
    table->column = (table->column + 1) % table->columns;
    table->lines += table->column == 0;
}

static void put_padding(struct rl_buf *to, size_t n)
{
    uint8_t *at = rl_buf_reserve(to, n);
    if (!at)
        return;
    memset(at, ' ', n);
    to->n += n;
}

/* The last column is not padded: no line ends in spaces. */
static const char *lay_out_line(const struct rl_table *table, const char *cell, struct rl_buf *to)
{
    for (size_t i = 0; i < table->columns; i++) {
        size_t n = strlen(cell);
        rl_buf_put(to, cell, n);
        if (i + 1 < table->columns)
            put_padding(to, table->widths[i] - (table->is_ascii ? n : width_of(cell, n)) + GAP);
        else
            rl_buf_put_u8(to, '\n');
        cell += n + 1;
    }
    return cell;
}

static void write_out(FILE *to, struct rl_buf *text)
{
    if (text->n) /* when memory was refused there is not even a place */
        fwrite(text->p, 1, text->n, to);
    rl_buf_clear(text);
}

rl_code rl_table_print(FILE *to, struct rl_table *table, const char *empty, struct rl_error *err)
{
    RL_ASSERT(table->column == 0 || table->cells.failed);
    struct rl_buf text;
    rl_buf_init(&text, 2 * TABLE_BYTES_MAX);
    const char *cell = (const char *)table->cells.p;
    bool is_whole = !table->cells.failed;
    for (size_t line = 0; is_whole && table->lines > 1 && line < table->lines; line++) {
        cell = lay_out_line(table, cell, &text);
        is_whole = !text.failed;
        if (text.n > WRITE_BYTES)
            write_out(to, &text);
    }
    if (table->lines == 1 && empty)
        rl_buf_printf(&text, "%s\n", empty);
    write_out(to, &text);
    rl_buf_fini(&text);
    if (!is_whole)
        return rl_fail(err, RL_E_EXHAUSTED,
                       "the table is too large to be shown; use --format=json");
    return rl_output_finish(to, err);
}
