#include "journal/open.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Heap; "" when the event names none. */
static char *channel_of(const Pb__Event *event)
{
    json_t *details = json_loads(event->details_json, 0, NULL);
    const char *channel = json_string_value(json_object_get(details, "channel"));
    char *copy = rl_strdup(channel ? channel : "");
    json_decref(details);
    return copy;
}

static void copy_detail(Pb__Event *to, const Pb__Event *from, const char *key)
{
    json_t *details = json_loads(from->details_json, 0, NULL);
    const char *value = json_string_value(json_object_get(details, key));
    if (value)
        rl_event_detail(to, key, value);
    json_decref(details);
}

static Pb__Event *copy_of(const Pb__Event *event)
{
    size_t n = pb__event__get_packed_size(event);
    uint8_t *packed = rl_alloc(n + 1);
    pb__event__pack(event, packed);
    Pb__Event *copy = rl_event_unpack(RL_SPAN(packed, n));
    free(packed);
    RL_ASSERT(copy); /* it was a message a moment ago */
    return copy;
}

static void drop(struct open_sessions *open, struct open_session *session)
{
    struct open_session **at = &open->first;
    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    open->count--;
    free(session->session_id);
    free(session->channel);
    rl_event_free(&session->start);
    free(session);
}

static struct open_session *find(const struct open_sessions *open, const char *session_id,
                                 const char *channel)
{
    struct open_session *s = open->first;
    while (s && (strcmp(s->session_id, session_id) != 0 || strcmp(s->channel, channel) != 0))
        s = s->next;
    return s;
}

void open_sessions_see(struct open_sessions *open, const Pb__Event *event)
{
    bool is_start = strcmp(event->type, "session.start") == 0;
    if (!is_start && strcmp(event->type, "session.end") != 0)
        return;
    char *channel = channel_of(event);
    struct open_session *session = find(open, event->session_id, channel);
    if (is_start && !session) {
        session = rl_alloc(sizeof *session);
        session->session_id = rl_strdup(event->session_id);
        session->channel = channel;
        session->start = copy_of(event);
        session->next = open->first;
        open->first = session;
        open->count++;
        return;
    }
    if (!is_start && session)
        drop(open, session);
    free(channel);
}

struct open_session *open_sessions_find(const struct open_sessions *open, const char *session_id)
{
    struct open_session *s = open->first;
    while (session_id && s && strcmp(s->session_id, session_id) != 0)
        s = s->next;
    return s;
}

Pb__Event *open_session_end(const struct open_session *session, int64_t now_ns, const char *reason)
{
    const Pb__Event *start = session->start;
    Pb__Event *end = rl_event_create("session.end", "failure", now_ns);
    rl_event_set(&end->cluster, start->cluster);
    rl_event_set(&end->user, start->user);
    rl_event_set(&end->user_cluster, start->user_cluster);
    rl_event_set(&end->session_id, start->session_id);
    rl_event_set(&end->root_session_id, start->root_session_id);
    rl_event_set(&end->resource_kind, start->resource_kind);
    rl_event_set(&end->resource_id, start->resource_id);
    rl_event_set(&end->resource_name, start->resource_name);
    rl_event_set(&end->login, start->login);
    rl_event_set(&end->client_address, start->client_address);
    rl_event_set(&end->reason, reason);
    rl_event_detail(end, "channel", session->channel);
    copy_detail(end, start, "client_address_by");
    return end;
}

void open_sessions_clear(struct open_sessions *open)
{
    while (open->first)
        drop(open, open->first);
}
