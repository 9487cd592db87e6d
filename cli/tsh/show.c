#include "show.h"

#include "bytes/utf8.h"
#include "output/value.h"
#include "playstream.h"
#include "recording/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WIDTH 80 /* of a terminal that said nothing */
#define HEIGHT 24
#define CUT_BYTES_MAX 3 /* of a character that goes on in the next record */

struct show {
    enum show_format format;
    FILE *to;
    const Pb__Recording *recording;
    struct rl_recording_text *text;
    char cut[CUT_BYTES_MAX];
    size_t cut_n;
    bool has_records;
};

/* What a full-screen program, or one that was cut off, may have left: colours, no cursor, the other
 * screen, the mouse, the keypad. */
#define RESET                                                                                      \
    "\033[0m\033[?25h\033[?1049l\033[?1000l\033[?1002l\033[?1003l\033[?1006l\033[?2004l\033[?1l"   \
    "\033>\r\n"

rl_code show_format_parse(const char *text, enum show_format *out, struct rl_error *err)
{
    static const char *const names[] = {[SHOW_PTY] = "pty",
                                        [SHOW_TEXT] = "text",
                                        [SHOW_JSON] = "json",
                                        [SHOW_ASCIICAST] = "asciicast"};
    for (size_t i = 0; i < RL_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum show_format)i;
            return RL_OK;
        }
    return rl_fail(err, RL_E_INVAL, "--format is pty, text, json or asciicast, not \"%.40s\"",
                   text);
}

/* ---- as JSON ---- */

static json_t *duration_json(const Pb__Recording *x)
{
    int64_t ns = x->ended_ns - x->start->started_ns;
    int64_t ms = ns / 1000000;
    return x->ended_ns && ns >= 0 ? json_real((double)ms / 1000.0) : json_null();
}

static json_t *who_and_where(const Pb__Recording *x)
{
    const Pb__RecordingStart *s = x->start;
    char *name = tsh_session_name(x->session_id, x->channel);
    json_t *object = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "session_id", rl_json_text(name), "kind",
        "ssh", "user", rl_json_text(s->user), "user_cluster", rl_json_text_or_null(s->user_cluster),
        "login", rl_json_text_or_null(s->login), "cluster", rl_json_text_or_null(s->cluster),
        "node_id", rl_json_text_or_null(s->node_id), "node_name",
        rl_json_text_or_null(s->node_name), "started", rl_json_time_or_null(s->started_ns));
    free(name);
    return object;
}

static void what(json_t *object, const Pb__Recording *x)
{
    json_object_set_new(object, "interactive", json_boolean(x->start->interactive));
    json_object_set_new(object, "command", rl_json_text_or_null(x->start->command));
    json_object_set_new(object, "recording", rl_json_text(x->start->mode));
}

json_t *show_recording_json(const Pb__Recording *x)
{
    json_t *object = who_and_where(x);
    json_object_set_new(object, "ended", rl_json_time_or_null(x->ended_ns));
    json_object_set_new(object, "duration_s", duration_json(x));
    json_object_set_new(object, "size_bytes", json_integer((json_int_t)x->size_bytes));
    json_object_set_new(object, "status", rl_json_text(x->status));
    what(object, x);
    bool has_code = x->end && x->end->has_exit_code;
    json_object_set_new(object, "exit_code",
                        has_code ? json_integer(x->end->exit_code) : json_null());
    return object;
}

json_t *show_session_json(const Pb__Recording *x)
{
    json_t *object = who_and_where(x);
    json_object_set_new(object, "client_addr", rl_json_text_or_null(x->start->client_address));
    json_object_set_new(object, "participants", rl_json_texts(x->participants, x->n_participants));
    what(object, x);
    return object;
}

/* ---- text for JSON: whole characters only ---- */

/* How many bytes at the end belong to a character that is not whole yet. */
static size_t unfinished(const char *p, size_t n)
{
    for (size_t back = 1; back <= CUT_BYTES_MAX && back <= n; back++) {
        unsigned char c = (unsigned char)p[n - back];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t need = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

static json_t *text_json(const char *p, size_t n)
{
    json_t *value = json_stringn(p, n);
    if (value)
        return value;
    struct rl_buf repaired;
    rl_buf_init(&repaired, 3 * n + 1);
    for (size_t at = 0, step; at < n; at += step ? step : 1) {
        uint32_t point;
        step = rl_utf8_next(p + at, n - at, &point);
        if (step)
            rl_buf_put(&repaired, p + at, step);
        else
            rl_buf_put_text(&repaired, "\xEF\xBF\xBD");
    }
    value = json_stringn((const char *)repaired.p, repaired.n);
    rl_buf_fini(&repaired);
    return value;
}

/* NULL: nothing of it is whole yet. */
static json_t *output_json(struct show *s, struct rl_span output)
{
    size_t n = s->cut_n + output.n;
    char *p = rl_alloc(n + 1);
    memcpy(p, s->cut, s->cut_n);
    memcpy(p + s->cut_n, output.p, output.n);
    s->cut_n = unfinished(p, n);
    n -= s->cut_n;
    memcpy(s->cut, p + n, s->cut_n);
    json_t *value = n ? text_json(p, n) : NULL;
    free(p);
    return value;
}

static void print_json(struct show *s, json_t *value)
{
    json_dumpf(value, s->to, JSON_COMPACT | JSON_REAL_PRECISION(12));
    json_decref(value);
}

static double seconds(uint64_t us)
{
    return (double)us / 1e6;
}

static void record_json(struct show *s, const struct rl_recording_record *r)
{
    json_t *object;
    if (r->type == RL_RECORDING_OUTPUT) {
        json_t *data = output_json(s, r->output);
        if (!data)
            return;
        object = json_pack("{s:f, s:s, s:o}", "time_s", seconds(r->time_us), "type", "output",
                           "data", data);
    } else {
        object = json_pack("{s:f, s:s, s:i, s:i}", "time_s", seconds(r->time_us), "type", "resize",
                           "columns", r->columns, "rows", r->rows);
    }
    fputs(s->has_records ? ",\n" : "\n", s->to);
    s->has_records = true;
    print_json(s, object);
}

/* One object, that is printed as it comes: its head, then its records. */
static void head_json(struct show *s)
{
    json_t *head = show_recording_json(s->recording);
    char *text = json_dumps(head, JSON_COMPACT);
    json_decref(head);
    text[strlen(text) - 1] = '\0';
    fprintf(s->to, "%s,\"records\":[", text);
    free(text);
}

/* ---- asciicast, version 2 ---- */

static void head_asciicast(struct show *s)
{
    const Pb__RecordingStart *start = s->recording->start;
    char *title = rl_sprintf("%s@%s", start->login, start->node_name);
    json_t *head =
        json_pack("{s:i, s:i, s:i, s:I, s:o}", "version", 2, "width",
                  start->columns ? (int)start->columns : WIDTH, "height",
                  start->rows ? (int)start->rows : HEIGHT, "timestamp",
                  (json_int_t)(start->started_ns / 1000000000), "title", rl_json_text(title));
    if (start->command[0])
        json_object_set_new(head, "command", rl_json_text(start->command));
    free(title);
    print_json(s, head);
    fputc('\n', s->to);
}

static void record_asciicast(struct show *s, const struct rl_recording_record *r)
{
    json_t *data;
    if (r->type == RL_RECORDING_OUTPUT) {
        data = output_json(s, r->output);
    } else {
        char size[24];
        snprintf(size, sizeof size, "%ux%u", r->columns, r->rows);
        data = json_string(size);
    }
    if (!data)
        return;
    print_json(s, json_pack("[f, s, o]", seconds(r->time_us),
                            r->type == RL_RECORDING_OUTPUT ? "o" : "r", data));
    fputc('\n', s->to);
}

/* ---- all ---- */

static void print_line(void *context, struct rl_span line)
{
    struct show *s = context;
    if (line.n)
        fwrite(line.p, 1, line.n, s->to);
    fputc('\n', s->to);
}

struct show *show_begin(enum show_format format, const Pb__Recording *recording, FILE *to)
{
    struct show *s = rl_alloc(sizeof *s);
    *s = (struct show){.format = format, .to = to, .recording = recording};
    if (format == SHOW_TEXT)
        s->text = rl_recording_text_create(print_line, s);
    else if (format == SHOW_JSON)
        head_json(s);
    else if (format == SHOW_ASCIICAST)
        head_asciicast(s);
    return s;
}

void show_record(struct show *s, const struct rl_recording_record *r)
{
    bool is_output = r->type == RL_RECORDING_OUTPUT;
    switch (s->format) {
    case SHOW_PTY:
        if (!is_output)
            break;
        fwrite(r->output.p, 1, r->output.n, s->to);
        fflush(s->to);
        break;
    case SHOW_TEXT:
        if (is_output)
            rl_recording_text_add(s->text, r->output);
        break;
    case SHOW_JSON:
        record_json(s, r);
        break;
    case SHOW_ASCIICAST:
        record_asciicast(s, r);
        break;
    }
}

void show_gap(struct show *s, uint32_t parts)
{
    if (s->format == SHOW_TEXT) {
        rl_recording_text_end(s->text);
        fprintf(s->to, "[%u part(s) of the recording are missing here]\n", parts);
    } else if (s->format == SHOW_JSON) {
        fputs(s->has_records ? ",\n" : "\n", s->to);
        s->has_records = true;
        print_json(s, json_pack("{s:s, s:i}", "type", "gap", "parts", (int)parts));
    }
}

void show_end(struct show **show)
{
    struct show *s = *show;
    if (!s)
        return;
    if (s->format == SHOW_TEXT)
        rl_recording_text_end(s->text);
    else if (s->format == SHOW_JSON)
        fputs("\n]}\n", s->to);
    else if (s->format == SHOW_PTY && isatty(fileno(s->to)))
        fputs(RESET, s->to);
    fflush(s->to);
    rl_recording_text_free(&s->text);
    free(s);
    *show = NULL;
}
