/* judge: the decision starts as "no": a row has to name the writer's kind and the event's type. */
#include "judge.h"

#include "event/event.h"

#include <jansson.h>
#include <string.h>

/* A type, or the beginning of one that ends with a dot. */
static const struct {
    const char *writer;
    const char *type;
} writable[] = {
    {"agent", "session."},
    {"agent", "sftp"},
    {"agent", "port.forward"},
    {"agent", "client.disconnect"},
    {"agent", "kube."},
    {"agent", "app."},
    {"broker", "instance."},
    {"proxy", "proxy."},
    {"proxy", "session."},
    {"proxy", "port.forward"},
    {"proxy", "client.disconnect"},
    {"proxy", "kube."},
    {"proxy", "app."},
};

const char *rl_audit_sender_kind(const struct rl_identity *writer)
{
    switch (writer->kind) {
    case RL_IDENTITY_SERVICE:
        return writer->service;
    case RL_IDENTITY_AGENT:
        return "agent";
    case RL_IDENTITY_USER:
        break;
    }
    return "user";
}

static bool covers(const char *row, const char *type)
{
    size_t n = strlen(row);
    return row[n - 1] == '.' ? strncmp(row, type, n) == 0 : strcmp(row, type) == 0;
}

static bool may_write(const struct rl_identity *writer, const char *type)
{
    const char *kind = rl_audit_sender_kind(writer);
    if (rl_identity_is_service(writer, "auth"))
        return true;
    for (size_t i = 0; i < RL_COUNT(writable); i++)
        if (strcmp(writable[i].writer, kind) == 0 && covers(writable[i].type, type))
            return true;
    return false;
}

static rl_code check_agent(const struct rl_identity *agent, const Pb__Event *event,
                           struct rl_error *err)
{
    bool is_web = strncmp(event->type, "app.", 4) == 0 || strncmp(event->type, "kube.", 5) == 0;
    const char *served = strncmp(event->type, "app.", 4) == 0 ? "app" : "kube_cluster";
    if (strcmp(event->resource_kind, "node") != 0 &&
        !(is_web && strcmp(event->resource_kind, served) == 0))
        return rl_fail(err, RL_E_DENIED,
                       "agent %s may not write %s about a resource of kind \"%s\"", agent->name,
                       event->type, event->resource_kind);
    if (strcmp(event->resource_id, agent->name) != 0)
        return rl_fail(err, RL_E_DENIED, "agent %s may write about itself only, not about \"%s\"",
                       agent->name, event->resource_id);
    return RL_OK;
}

/* What is special to a type is an object or nothing: whoever reads it relies on that. */
static rl_code check_details(const Pb__Event *event, struct rl_error *err)
{
    if (!event->details_json[0])
        return RL_OK;
    json_t *details = json_loads(event->details_json, JSON_REJECT_DUPLICATES, NULL);
    bool is_object = json_is_object(details);
    json_decref(details);
    return is_object ? RL_OK : rl_fail(err, RL_E_INVAL, "event: the details are not a JSON object");
}

rl_code rl_audit_judge(const char *cluster, const struct rl_identity *writer,
                       const Pb__Event *event, struct rl_error *err)
{
    rl_code rc = rl_event_check(event, err);
    if (rc == RL_OK)
        rc = check_details(event, err);
    if (rc != RL_OK)
        return rc;
    size_t n = pb__event__get_packed_size(event);
    if (n > RL_AUDIT_EVENT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "event: %zu bytes; at most %u", n,
                       RL_AUDIT_EVENT_BYTES_MAX);
    if (strcmp(event->cluster, cluster) != 0)
        return rl_fail(err, RL_E_DENIED, "an event of cluster \"%s\" does not belong to %s",
                       event->cluster, cluster);
    if (!may_write(writer, event->type)) {
        const char *kind = rl_audit_sender_kind(writer);
        return rl_fail(err, RL_E_DENIED, "%s %s may not write events of type %s", kind,
                       writer->name, event->type);
    }
    return writer->kind == RL_IDENTITY_AGENT ? check_agent(writer, event, err) : RL_OK;
}

bool rl_audit_clock_is_wrong(int64_t time_ns, int64_t received_ns)
{
    /* The sums stay in range: a receipt is of our own clock. */
    return time_ns < received_ns - RL_AUDIT_LATE_NS_MAX ||
           time_ns > received_ns + RL_AUDIT_EARLY_NS_MAX;
}
