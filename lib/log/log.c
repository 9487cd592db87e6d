/* log: a line is built whole in memory and written by one write(2), so that lines of threads and
 * processes that share a stderr do not mix. Whatever bytes a value holds, the line is valid JSON.
 */
#include "log/log.h"

#include "bytes/buf.h"
#include "bytes/utf8.h"
#include "clock/clock.h"
#include "names/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A longer value is cut: a peer's text must not fill the disk. */
#define VALUE_BYTES_MAX 4096
/* Fields beyond are left out, and the line says so. */
#define LINE_BYTES_MAX 65536
/* Kept free for the end of the line. */
#define END_BYTES 32

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_titles[] = {"DEBUG", "INFO", "WARN", "ERROR"};

static struct {
    const char *program;
    enum rl_log_level least;
    bool text;
} setup = {.program = "remoteler", .least = RL_LOG_INFO};

void rl_log_setup(const char *program, enum rl_log_level least, bool text)
{
    setup.program = program;
    setup.least = least;
    setup.text = text;
}

rl_code rl_log_level_parse(const char *name, enum rl_log_level *out, struct rl_error *err)
{
    for (size_t i = 0; i < RL_COUNT(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum rl_log_level)i;
            return RL_OK;
        }
    char *shown = rl_name_printable(name);
    rl_fail(err, RL_E_INVAL, "\"%.40s\" is not a log level; it is debug, info, warn or error",
            shown);
    free(shown);
    return RL_E_INVAL;
}

/* ---- JSON ---- */

static void put_escaped(struct rl_buf *line, uint32_t point, const char *raw, size_t length)
{
    if (point == '"' || point == '\\')
        rl_buf_printf(line, "\\%c", (char)point);
    else if (point == '\n')
        rl_buf_put_text(line, "\\n");
    else if (point == '\t')
        rl_buf_put_text(line, "\\t");
    else if (rl_utf8_is_control(point)) /* all of them are below U+10000 */
        rl_buf_printf(line, "\\u%04x", point);
    else
        rl_buf_put(line, raw, length);
}

static void put_json_text(struct rl_buf *line, const char *text)
{
    size_t n = strnlen(text, VALUE_BYTES_MAX + 3); /* the last character may straddle the cut */
    bool is_cut = n > VALUE_BYTES_MAX;
    const char *end = text + (is_cut ? VALUE_BYTES_MAX : n);
    rl_buf_put_u8(line, '"');
    while (text < end) {
        uint32_t point = 0xFFFD; /* stands for each byte that is no character */
        size_t length = rl_utf8_next(text, n, &point);
        if (length)
            put_escaped(line, point, text, length);
        else
            rl_buf_put_text(line, "\xEF\xBF\xBD");
        size_t taken = length ? length : 1;
        text += taken;
        n -= taken;
    }
    rl_buf_put_text(line, is_cut ? "...\"" : "\"");
}

static void put_json_field(struct rl_buf *line, const struct rl_log_field *field)
{
    rl_buf_printf(line, ",\"%s\":", field->key);
    if (field->text)
        put_json_text(line, field->text);
    else
        rl_buf_printf(line, "%lld", field->number);
}

static void put_json_head(struct rl_buf *line, enum rl_log_level level, const char *message)
{
    char now[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(rl_clock_wall_ns(), now);
    rl_buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", now, level_names[level]);
    put_json_text(line, setup.program);
    rl_buf_put_text(line, ",\"message\":");
    put_json_text(line, message);
}

/* ---- for people ---- */

static bool is_bare_word(const char *text)
{
    return *text && !strpbrk(text, " \"=\\");
}

static void put_plain_text(struct rl_buf *line, const char *text)
{
    char *shown = rl_name_printable(text);
    rl_buf_printf(line, "%.*s%s", VALUE_BYTES_MAX, shown,
                  strlen(shown) > VALUE_BYTES_MAX ? "..." : "");
    free(shown);
}

static void put_plain_field(struct rl_buf *line, const struct rl_log_field *field)
{
    rl_buf_printf(line, " %s=", field->key);
    if (!field->text)
        rl_buf_printf(line, "%lld", field->number);
    else if (is_bare_word(field->text))
        put_plain_text(line, field->text);
    else {
        rl_buf_put_u8(line, '"');
        put_plain_text(line, field->text);
        rl_buf_put_u8(line, '"');
    }
}

/* ---- the line ---- */

/* A field that does not fit is left out whole. */
static void put_fields(struct rl_buf *line, const struct rl_log_field *fields, size_t count)
{
    size_t left_out = 0;
    for (size_t i = 0; i < count; i++) {
        size_t before = line->n;
        if (setup.text)
            put_plain_field(line, &fields[i]);
        else
            put_json_field(line, &fields[i]);
        if (line->failed || line->n > LINE_BYTES_MAX - END_BYTES) {
            line->n = before;
            line->failed = false;
            left_out++;
        }
    }
    if (left_out)
        rl_buf_printf(line, setup.text ? " left_out=%zu" : ",\"left_out\":%zu", left_out);
}

static void write_once(struct rl_span line)
{
    ssize_t n;
    do
        n = write(STDERR_FILENO, line.p, line.n);
    while (n < 0 && errno == EINTR);
    /* Where would one report that the log is gone? */
}

void rl_log_write(enum rl_log_level level, const char *message, const struct rl_log_field *fields,
                  size_t count)
{
    if (level < setup.least)
        return;
    int saved_errno = errno;
    struct rl_buf line;
    rl_buf_init(&line, LINE_BYTES_MAX);
    if (setup.text) {
        rl_buf_printf(&line, "%s ", level_titles[level]);
        put_plain_text(&line, message);
    } else {
        put_json_head(&line, level, message);
    }
    put_fields(&line, fields, count);
    rl_buf_put_text(&line, setup.text ? "\n" : "}\n");
    write_once(rl_buf_span(&line));
    rl_buf_fini(&line);
    errno = saved_errno;
}
