/* text: a small reader of ECMA-48: enough to know where an escape ends, and of those that stay in
 * the line, what they do. */
#include "recording/text.h"

#include "bytes/utf8.h"

#include <stdlib.h>
#include <string.h>

#define PARAMETER_MAX 9999u
#define UTF8_BYTES 4
#define REPLACEMENT 0xFFFDu
#define TAB 8u

enum state {
    GROUND,
    ESCAPE,        /* after ESC */
    INTERMEDIATE,  /* ESC and a byte that asks for one more: a character set */
    CONTROL,       /* ESC [ ... until a final byte */
    STRING,        /* ESC ] and its like, until BEL or ST */
    STRING_ESCAPE, /* ESC within one */
};

struct rl_recording_text {
    rl_recording_line_fn line;
    void *context;
    enum state state;
    unsigned parameter; /* the first of a control sequence */
    bool has_more_parameters, is_private;
    uint8_t partial[UTF8_BYTES];
    size_t partial_n;
    uint32_t cells[RL_RECORDING_COLUMNS_MAX];
    size_t n, cursor;
};

struct rl_recording_text *rl_recording_text_create(rl_recording_line_fn line, void *context)
{
    struct rl_recording_text *t = rl_alloc(sizeof *t);
    t->line = line;
    t->context = context;
    return t;
}

void rl_recording_text_free(struct rl_recording_text **text)
{
    free(*text);
    *text = NULL;
}

/* ---- a line ---- */

static void put_utf8(struct rl_buf *out, uint32_t c)
{
    if (c < 0x80) {
        rl_buf_put_u8(out, (uint8_t)c);
        return;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t first[] = {0, 0xC0, 0xE0, 0xF0};
    rl_buf_put_u8(out, (uint8_t)(first[more] | c >> (6 * more)));
    while (more-- > 0)
        rl_buf_put_u8(out, (uint8_t)(0x80 | (c >> (6 * more) & 0x3F)));
}

static void tell(struct rl_recording_text *t)
{
    struct rl_buf out;
    rl_buf_init(&out, (size_t)RL_RECORDING_COLUMNS_MAX * UTF8_BYTES);
    while (t->n && t->cells[t->n - 1] == ' ') /* what was erased, not written */
        t->n--;
    for (size_t i = 0; i < t->n; i++)
        put_utf8(&out, t->cells[i]);
    t->line(t->context, rl_buf_span(&out));
    rl_buf_fini(&out);
    t->n = t->cursor = 0;
}

static void tell_if_any(struct rl_recording_text *t)
{
    if (t->n)
        tell(t);
    t->cursor = 0;
}

static void put(struct rl_recording_text *t, uint32_t c)
{
    if (t->cursor >= RL_RECORDING_COLUMNS_MAX)
        tell(t);
    while (t->n < t->cursor)
        t->cells[t->n++] = ' ';
    t->cells[t->cursor++] = c;
    if (t->n < t->cursor)
        t->n = t->cursor;
}

static void move_to(struct rl_recording_text *t, size_t column)
{
    t->cursor = column < RL_RECORDING_COLUMNS_MAX ? column : RL_RECORDING_COLUMNS_MAX - 1;
}

static void erase(struct rl_recording_text *t, unsigned how)
{
    size_t from = how == 0 ? t->cursor : 0;
    size_t to = how == 1 ? t->cursor + 1 : t->n;
    for (size_t i = from; i < to && i < t->n; i++)
        t->cells[i] = ' ';
    if (how != 1 && from < t->n)
        t->n = from;
}

static void delete_cells(struct rl_recording_text *t, size_t count)
{
    if (t->cursor >= t->n)
        return;
    if (count > t->n - t->cursor)
        count = t->n - t->cursor;
    memmove(t->cells + t->cursor, t->cells + t->cursor + count,
            (t->n - t->cursor - count) * sizeof *t->cells);
    t->n -= count;
}

static void insert_cells(struct rl_recording_text *t, size_t count)
{
    if (t->cursor >= t->n)
        return;
    if (count > RL_RECORDING_COLUMNS_MAX - t->n)
        count = RL_RECORDING_COLUMNS_MAX - t->n;
    memmove(t->cells + t->cursor + count, t->cells + t->cursor,
            (t->n - t->cursor) * sizeof *t->cells);
    for (size_t i = 0; i < count; i++)
        t->cells[t->cursor + i] = ' ';
    t->n += count;
}

/* ---- escapes ---- */

static void control_ends(struct rl_recording_text *t, uint8_t final)
{
    size_t count = t->parameter ? t->parameter : 1;
    t->state = GROUND;
    if (t->is_private)
        return;
    switch (final) {
    case 'C':
        move_to(t, t->cursor + count);
        break;
    case 'D':
        move_to(t, t->cursor > count ? t->cursor - count : 0);
        break;
    case 'G':
        move_to(t, count - 1);
        break;
    case 'K':
        erase(t, t->parameter);
        break;
    case 'P':
        delete_cells(t, count);
        break;
    case '@':
        insert_cells(t, count);
        break;
    case 'A':
    case 'B':
    case 'E':
    case 'F':
    case 'H':
    case 'J':
    case 'd':
    case 'f':
        tell_if_any(t);
        break;
    default: /* colours and the like */
        break;
    }
}

static void control(struct rl_recording_text *t, uint8_t c)
{
    if (c >= '0' && c <= '9') {
        if (!t->has_more_parameters && t->parameter < PARAMETER_MAX)
            t->parameter = t->parameter * 10 + (unsigned)(c - '0');
        if (t->parameter > PARAMETER_MAX)
            t->parameter = PARAMETER_MAX;
    } else if (c == ';' || c == ':') {
        t->has_more_parameters = true;
    } else if (c >= '<' && c <= '?') {
        t->is_private = true;
    } else if (c >= 0x40 && c <= 0x7E) {
        control_ends(t, c);
    } else if (c == 0x18 || c == 0x1A) { /* CAN, SUB */
        t->state = GROUND;
    }
}

static void escape(struct rl_recording_text *t, uint8_t c)
{
    t->state = GROUND;
    if (c == '[') {
        t->state = CONTROL;
        t->parameter = 0;
        t->has_more_parameters = t->is_private = false;
    } else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_') {
        t->state = STRING;
    } else if (c == 0x1B) {
        t->state = ESCAPE;
    } else if (c >= 0x20 && c <= 0x2F) {
        t->state = INTERMEDIATE;
    } else if (c == 'D' || c == 'E' || c == 'M' || c == 'c') {
        tell_if_any(t);
    }
}

/* ---- plain bytes ---- */

static void control_character(struct rl_recording_text *t, uint8_t c)
{
    if (c == '\n' || c == '\v' || c == '\f')
        tell(t);
    else if (c == '\r')
        t->cursor = 0;
    else if (c == '\b' && t->cursor)
        t->cursor--;
    else if (c == '\t')
        move_to(t, (t->cursor / TAB + 1) * TAB);
    else if (c == 0x1B)
        t->state = ESCAPE;
}

/* A character may come in pieces: `partial` holds what came of it. */
static void character(struct rl_recording_text *t, uint8_t c)
{
    uint32_t point;
    t->partial[t->partial_n++] = c;
    uint8_t lead = t->partial[0];
    size_t need = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (t->partial_n < need && (t->partial_n == 1 || (c & 0xC0) == 0x80))
        return;
    if (!rl_utf8_next(t->partial, t->partial_n, &point))
        point = REPLACEMENT;
    t->partial_n = 0;
    put(t, rl_utf8_is_control(point) ? REPLACEMENT : point);
}

static void ground(struct rl_recording_text *t, uint8_t c)
{
    bool is_control = c < 0x20 || c == 0x7F;
    if (t->partial_n && (is_control || (c & 0xC0) != 0x80)) { /* one that was cut */
        t->partial_n = 0;
        put(t, REPLACEMENT);
    }
    if (is_control)
        control_character(t, c);
    else
        character(t, c);
}

void rl_recording_text_add(struct rl_recording_text *t, struct rl_span output)
{
    for (size_t i = 0; i < output.n; i++) {
        uint8_t c = output.p[i];
        switch (t->state) {
        case GROUND:
            ground(t, c);
            break;
        case ESCAPE:
            escape(t, c);
            break;
        case INTERMEDIATE:
            t->state = c >= 0x20 && c <= 0x2F ? INTERMEDIATE : GROUND;
            break;
        case CONTROL:
            if (c == 0x1B)
                t->state = ESCAPE;
            else if (c < 0x20 && c != 0x18 && c != 0x1A)
                ground(t, c); /* a terminal acts on those within a sequence too */
            else
                control(t, c);
            break;
        case STRING:
            t->state = c == 0x07 || c == 0x18 || c == 0x1A ? GROUND
                       : c == 0x1B                         ? STRING_ESCAPE
                                                           : STRING;
            break;
        case STRING_ESCAPE:
            t->state = GROUND;
            if (c != '\\')
                escape(t, c);
            break;
        }
    }
}

void rl_recording_text_end(struct rl_recording_text *t)
{
    t->state = GROUND;
    tell_if_any(t);
}
