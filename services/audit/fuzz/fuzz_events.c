/* Events as a node, a proxy or a broker may send them, and searches as a user may ask. The first
 * byte says who sends; the rest is an AppendRequest, or a SearchRequest. What is taken from an
 * agent is about itself, in this cluster. */
#include "event/event.h"
#include "judge.h"
#include "query.h"

#include <stdlib.h>
#include <string.h>

#define CLUSTER "main.example.com"
#define AGENT "0190c0de-0000-7000-8000-0000000000a1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char cluster[] = CLUSTER, agent[] = AGENT, proxy[] = "proxy", broker[] = "broker",
            audit[] = "audit";

static const struct rl_identity writers[] = {
    {.kind = RL_IDENTITY_AGENT, .cluster = cluster, .name = agent},
    {.kind = RL_IDENTITY_SERVICE, .cluster = cluster, .name = agent, .service = proxy},
    {.kind = RL_IDENTITY_SERVICE, .cluster = cluster, .name = agent, .service = broker},
    {.kind = RL_IDENTITY_SERVICE, .cluster = cluster, .name = agent, .service = audit},
    {.kind = RL_IDENTITY_USER, .cluster = cluster, .name = agent},
};

static void append(const struct rl_identity *writer, struct rl_span packed)
{
    Pb__AppendRequest *r = pb__append_request__unpack(NULL, packed.n, packed.p);
    for (size_t i = 0; r && i < r->n_events; i++) {
        const Pb__Event *event = r->events[i];
        if (rl_audit_judge(CLUSTER, writer, event, NULL) != RL_OK)
            continue;
        RL_ASSERT(strcmp(event->cluster, CLUSTER) == 0);
        RL_ASSERT(rl_event_type_is_known(event->type));
        RL_ASSERT(writer->kind != RL_IDENTITY_USER && writer->service != audit);
        if (writer->kind == RL_IDENTITY_AGENT)
            RL_ASSERT(strcmp(event->resource_id, AGENT) == 0);
        rl_audit_clock_is_wrong(event->time_ns, INT64_C(1800000000000000000));
    }
    pb__append_request__free_unpacked(r, NULL);
}

static void search(struct rl_span packed)
{
    struct rl_audit_query query = {0};
    Pb__SearchRequest *r = pb__search_request__unpack(NULL, packed.n, packed.p);
    if (r && rl_audit_query_read(r, &query, NULL) == RL_OK) {
        RL_ASSERT(query.filter.from_ns <= query.filter.to_ns && query.limit > 0);
        RL_ASSERT(query.filter.type_count + query.filter.family_count == r->n_types);
    }
    rl_audit_query_fini(&query);
    pb__search_request__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct rl_span packed = RL_SPAN(data + 1, size - 1);
    size_t who = data[0] % (RL_COUNT(writers) + 1);
    if (who < RL_COUNT(writers))
        append(&writers[who], packed);
    else
        search(packed);
    return 0;
}
