#include "castfile.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_S_MAX 315360000.0 /* ten years */

struct castfile {
    FILE *file;
    char *line; /* getline()'s */
    size_t line_size;
    unsigned long number;
    uint64_t last_us;
    json_t *event;
    Pb__Recording recording;
    Pb__RecordingStart start;
};

/* NULL with RL_OK: the end. */
static rl_code read_line(struct castfile *f, json_t **out, struct rl_error *err)
{
    json_error_t why;
    ssize_t n = getline(&f->line, &f->line_size, f->file);
    f->number++;
    *out = NULL;
    if (n < 0)
        return ferror(f->file) ? rl_fail_errno(err, RL_E_INVAL, "reading the recording") : RL_OK;
    if ((size_t)n > CASTFILE_LINE_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "line %lu is too long for an asciicast", f->number);
    *out = json_loadb(f->line, (size_t)n, JSON_ALLOW_NUL, &why);
    return *out ? RL_OK
                : rl_fail(err, RL_E_INVAL, "line %lu is no line of an asciicast: %s", f->number,
                          why.text);
}

static rl_code read_head(struct castfile *f, struct rl_error *err)
{
    json_t *head = NULL;
    rl_code rc = read_line(f, &head, err);
    if (rc == RL_OK && json_integer_value(json_object_get(head, "version")) != 2)
        rc = rl_fail(err, RL_E_INVAL, "the file is no asciicast of version 2");
    if (rc == RL_OK) {
        f->start.interactive = true;
        f->start.columns = (uint32_t)json_integer_value(json_object_get(head, "width"));
        f->start.rows = (uint32_t)json_integer_value(json_object_get(head, "height"));
        f->start.started_ns = json_integer_value(json_object_get(head, "timestamp")) * 1000000000;
    }
    json_decref(head);
    return rc;
}

rl_code castfile_open(const char *path, struct castfile **out, struct rl_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return rl_fail_errno(err, errno == ENOENT ? RL_E_NOT_FOUND : RL_E_INVAL, "opening %s",
                             path);
    struct castfile *f = rl_alloc(sizeof *f);
    f->file = file;
    pb__recording__init(&f->recording);
    pb__recording_start__init(&f->start);
    f->recording.start = &f->start;
    f->recording.status = (char *)(uintptr_t) "complete";
    rl_code rc = read_head(f, err);
    if (rc != RL_OK)
        castfile_close(&f);
    else
        *out = f;
    return rc;
}

const Pb__Recording *castfile_recording(const struct castfile *file)
{
    return &file->recording;
}

/* False: an event of a kind that is not shown. */
static bool take_event(struct castfile *f, struct rl_recording_record *out)
{
    const char *kind = json_string_value(json_array_get(f->event, 1));
    json_t *data = json_array_get(f->event, 2);
    double at_s = json_number_value(json_array_get(f->event, 0));
    unsigned columns = 0, rows = 0;
    if (!kind || !json_is_string(data) || !(at_s >= 0 && at_s <= TIME_S_MAX))
        return false;
    uint64_t at_us = (uint64_t)(at_s * 1e6);
    f->last_us = at_us > f->last_us ? at_us : f->last_us;
    *out = (struct rl_recording_record){.time_us = f->last_us};
    if (strcmp(kind, "o") == 0) {
        out->type = RL_RECORDING_OUTPUT;
        out->output = RL_SPAN(json_string_value(data), json_string_length(data));
        return true;
    }
    /* Five digits fit. NOLINTNEXTLINE(cert-err34-c) */
    if (strcmp(kind, "r") != 0 || sscanf(json_string_value(data), "%5ux%5u", &columns, &rows) != 2)
        return false;
    out->type = RL_RECORDING_RESIZE;
    out->columns = (uint16_t)columns;
    out->rows = (uint16_t)rows;
    return true;
}

rl_code castfile_next(struct castfile *f, struct rl_recording_record *out, bool *is_end,
                      struct rl_error *err)
{
    rl_code rc = RL_OK;
    bool is_taken = false;
    *is_end = false;
    while (rc == RL_OK && !is_taken && !*is_end) {
        json_decref(f->event);
        rc = read_line(f, &f->event, err);
        *is_end = rc == RL_OK && !f->event;
        is_taken = f->event && take_event(f, out);
    }
    return rc;
}

void castfile_close(struct castfile **file)
{
    struct castfile *f = *file;
    if (!f)
        return;
    fclose(f->file);
    json_decref(f->event);
    free(f->line);
    free(f);
    *file = NULL;
}
