/* audit: what happened, asked of the audit service itself. */
#include "settings/period.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct audit_settings {
    struct rl_period period;
    char *user, *session, *format;
    struct rl_text_list types;
    int64_t limit;
    bool follow;
};

#define AT(field) offsetof(struct audit_settings, field)
#define ROWS_WHICH                                                                                 \
    {.name = "type",                                                                               \
     .type = RL_SETTING_LIST,                                                                      \
     .offset = AT(types),                                                                          \
     .help = "session.end, or lock.*; again for more"},                                            \
        {.name = "user", .type = RL_SETTING_TEXT, .offset = AT(user), .help = "by this user"},     \
        {.name = "session",                                                                        \
         .type = RL_SETTING_TEXT,                                                                  \
         .offset = AT(session),                                                                    \
         .help = "of this session"},                                                               \
        RL_PERIOD_ROWS(audit_settings, period)

static const struct rl_setting export_rows[] = {
    ROWS_WHICH,
    RL_PERIOD_LAST_ROW(audit_settings, period, NULL,
                       "instead of --from: 10m, 24h, 7d; without either, everything"),
    {.name = "follow",
     .type = RL_SETTING_SWITCH,
     .offset = AT(follow),
     .fallback = "no",
     .help = "go on with what happens next"},
};

static const struct rl_setting rows[] = {
    ROWS_WHICH,
    RL_PERIOD_LAST_ROW(audit_settings, period, "1h", "instead of --from: 10m, 24h, 7d"),
    {.name = "limit",
     .type = RL_SETTING_NUMBER,
     .offset = AT(limit),
     .fallback = "1000",
     .min = 1,
     .max = 100000,
     .help = "the newest that many"},
    {.name = "follow",
     .type = RL_SETTING_SWITCH,
     .offset = AT(follow),
     .fallback = "no",
     .help = "go on with what happens next, an object a line"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

/* ---- an event as the contract shows it ---- */

static json_t *resource_json(const Pb__Event *e)
{
    if (!e->resource_kind[0])
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "kind", rl_json_text(e->resource_kind), "id",
                     rl_json_text_or_null(e->resource_id), "name",
                     rl_json_text_or_null(e->resource_name));
}

static json_t *details_json(const Pb__Event *e)
{
    json_t *details = json_loads(e->details_json, 0, NULL);
    return json_is_object(details) ? details : (json_decref(details), json_object());
}

json_t *tctl_event_json(const Pb__Event *e)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "uid", rl_json_text(e->uid),
                  "time", rl_json_time_or_null(e->time_ns), "type", rl_json_text(e->type), "code",
                  rl_json_text(e->code), "version", (json_int_t)e->version, "outcome",
                  rl_json_text(e->outcome), "reason", rl_json_text_or_null(e->reason), "user",
                  rl_json_text_or_null(e->user), "cluster", rl_json_text(e->cluster));
    json_t *rest = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "user_cluster",
        rl_json_text_or_null(e->user_cluster), "session_id", rl_json_text_or_null(e->session_id),
        "root_session_id", rl_json_text_or_null(e->root_session_id), "resource", resource_json(e),
        "login", rl_json_text_or_null(e->login), "client_addr",
        rl_json_text_or_null(e->client_address), "peer_addr", rl_json_text_or_null(e->peer_address),
        "command", rl_json_text_or_null(e->command), "exit_code",
        e->has_exit_code ? json_integer(e->exit_code) : json_null(), "signal",
        rl_json_text_or_null(e->signal), "bytes_in",
        e->has_bytes ? json_integer((json_int_t)e->bytes_in) : json_null(), "bytes_out",
        e->has_bytes ? json_integer((json_int_t)e->bytes_out) : json_null(), "details",
        details_json(e));
    json_object_update(object, rest);
    json_decref(rest);
    return object;
}

/* ---- the search ---- */

struct search {
    json_t *events;
    size_t limit;
    bool as_lines, more_matched, is_over;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct search *search = context;
    const Pb__SearchResponse *part = (const Pb__SearchResponse *)message;
    search->more_matched = search->more_matched || part->more_matched;
    for (size_t i = 0; i < part->n_events; i++) {
        json_t *event = tctl_event_json(part->events[i]);
        if (search->as_lines) {
            json_dumpf(event, stdout, JSON_COMPACT);
            fputc('\n', stdout);
            json_decref(event);
        } else if (json_array_size(search->events) < search->limit) {
            json_array_append_new(search->events, event);
        } else { /* it was asked for less */
            json_decref(event);
        }
    }
    if (search->as_lines)
        fflush(stdout);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct search *search = context;
    search->is_over = true;
    search->code = code;
    snprintf(search->message, sizeof search->message, "%s", message);
}

static const struct rl_rpc_stream_ops ops = {.message = on_message, .closed = on_closed};

static rl_code fill_times(const struct audit_settings *s, Pb__SearchRequest *request,
                          struct rl_error *err)
{
    return rl_period_read(&s->period, &request->from_ns, &request->to_ns, err);
}

static rl_code search_events(struct tctl_client *client, const struct audit_settings *s,
                             struct search *search, struct rl_error *err)
{
    struct rl_tls_client *tls = NULL;
    struct rl_rpc_channel *channel = NULL;
    char none[] = "";
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    request.n_types = s->types.count;
    request.types = s->types.items;
    request.user = s->user ? s->user : none;
    request.session_id = s->session ? s->session : none;
    request.limit = s->limit ? (uint32_t)s->limit : UINT32_MAX;
    request.follow = s->follow;
    rl_code rc = fill_times(s, &request, err);
    if (rc == RL_OK)
        rc = tctl_open_audit(client, &tls, &channel, err);
    if (rc == RL_OK) {
        struct rl_rpc_call *call = rl_rpc_stream(channel, &pb__audit__descriptor, "Search",
                                                 search->as_lines ? 0 : TCTL_CALL_MS, &ops, search);
        rc = rl_rpc_send(call, &request.base, err);
        rl_rpc_end(call, RL_OK, NULL);
        while (!search->is_over)
            rl_loop_turn(client->loop, 1000);
        if (search->code != RL_OK)
            rc = rl_fail(err, search->code, "%s", search->message);
    }
    rl_rpc_channel_free(&channel);
    rl_tls_client_unref(&tls);
    return rc;
}

static const struct rl_column columns[] = {
    {"TIME", "time"},          {"TYPE", "type"},      {"OUTCOME", "outcome"},
    {"USER", "user"},          {"LOGIN", "login"},    {"RESOURCE", "resource.name"},
    {"CLIENT", "client_addr"}, {"EXIT", "exit_code"}, {"COMMAND", "command"},
    {"REASON", "reason"},
};

static rl_code check(const void *settings, struct rl_error *err)
{
    const struct audit_settings *s = settings;
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    enum rl_format format;
    rl_code rc = tctl_format(s->format, &format, err);
    return rc == RL_OK ? fill_times(s, &request, err) : rc;
}

static rl_code work(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct audit_settings *s = settings;
    enum rl_format format;
    struct search search = {
        .events = json_array(), .limit = (size_t)s->limit, .as_lines = s->follow};
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = search_events(client, s, &search, err);
    if (rc == RL_OK && format == RL_FORMAT_TEXT)
        rl_json_show_users(search.events);
    if (rc == RL_OK && !s->follow)
        rc = rl_output_table(stdout, format, search.events, columns, RL_COUNT(columns),
                             "No events.", err);
    if (rc == RL_OK && search.more_matched)
        rl_output_say("tctl: more matched; these are the newest %lld (--limit)",
                      (long long)s->limit);
    json_decref(search.events);
    return rc;
}

/* Everything that matches, in constant memory. */
static rl_code export_events(struct tctl_client *client, const void *settings,
                             const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    struct search search = {.as_lines = true};
    rl_code rc = search_events(client, settings, &search, err);
    if (rc == RL_OK && (fflush(stdout) != 0 || ferror(stdout)))
        rc = rl_fail(err, RL_E_UNAVAILABLE, "the events could not be written");
    return rc;
}

static rl_code check_export(const void *settings, struct rl_error *err)
{
    Pb__SearchRequest request = PB__SEARCH_REQUEST__INIT;
    return fill_times(settings, &request, err);
}

static const struct rl_settings_spec search_spec = {
    .program = "tctl audit search",
    .summary = "what happened, oldest first",
    .usage = "[flags]",
    .example = "tctl audit search --last=10m --user=alice --format=json",
    .rows = rows,
    .count = RL_COUNT(rows),
};
static const struct rl_settings_spec ls_spec = {
    .program = "tctl audit ls",
    .summary = "what happened, oldest first",
    .usage = "[flags]",
    .example = "tctl audit ls --last=1h",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static const struct rl_settings_spec export_spec = {
    .program = "tctl audit export",
    .summary = "events as JSON lines, the oldest first",
    .usage = "[flags]",
    .example = "tctl audit export --from=2026-11-01T00:00:00Z > november.jsonl",
    .rows = export_rows,
    .count = RL_COUNT(export_rows),
};

static const struct tctl_command export_command = {.spec = &export_spec,
                                                   .bytes = sizeof(struct audit_settings),
                                                   .check = check_export,
                                                   .work = export_events};
static const struct tctl_command search_command = {
    .spec = &search_spec, .bytes = sizeof(struct audit_settings), .check = check, .work = work};
static const struct tctl_command ls_command = {
    .spec = &ls_spec, .bytes = sizeof(struct audit_settings), .check = check, .work = work};
static const struct tctl_subcommand audit_commands[] = {
    {"search", &search_command, "events by time, type, user, session"},
    {"ls", &ls_command, "the same"},
    {"verify", &tctl_audit_verify, "prove that nothing was changed or removed"},
    {"export", &export_command, "events as JSON lines"},
};
const struct tctl_group tctl_audit = {"audit", audit_commands, RL_COUNT(audit_commands)};
