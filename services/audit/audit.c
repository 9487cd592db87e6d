/* audit: one table of handlers for all servers. */
#include "internal.h"

#include "access/access.h"
#include "remoteler/v1/audit.pb-c.h"

#include <stdlib.h>

static const struct rl_rpc_handler handlers[] = {
    {.method = "Append", .unary = audit_append},
    {.method = "Search", .stream = &audit_search_ops, .opened = audit_search_opened},
    {.method = "Heads", .unary = audit_heads},
    {.method = "Ledger", .stream = &audit_ledger_ops, .opened = audit_ledger_opened},
    {.method = "WriteRecording", .unary = audit_write_recording},
    {.method = "ListRecordings", .stream = &audit_list_ops, .opened = audit_list_opened},
    {.method = "Play", .stream = &audit_play_ops, .opened = audit_play_opened},
};

int64_t audit_now_ns(const struct rl_audit *audit)
{
    return audit->config.clock ? rl_voted_clock_now_ns(audit->config.clock) : rl_clock_wall_ns();
}

static void make_metrics(struct rl_audit *a, struct rl_health *h)
{
    a->metrics.events = rl_health_counter(h, "remoteler_audit_events_total", "Events taken", NULL);
    a->metrics.repeated = rl_health_counter(h, "remoteler_audit_repeated_events_total",
                                            "Events that had been taken before", NULL);
    a->metrics.refused = rl_health_counter(h, "remoteler_audit_refused_batches_total",
                                           "Batches that were refused", NULL);
    a->metrics.failed = rl_health_counter(h, "remoteler_audit_failed_batches_total",
                                          "Batches that the database did not take", NULL);
    a->metrics.transactions = rl_health_counter(h, "remoteler_audit_transactions_total",
                                                "Transactions that wrote events", NULL);
    a->metrics.busy_us = rl_health_counter(h, "remoteler_audit_transactions_microseconds_total",
                                           "Time spent in them", NULL);
    a->metrics.searches =
        rl_health_counter(h, "remoteler_audit_searches_total", "Searches begun", NULL);
    a->metrics.following =
        rl_health_gauge(h, "remoteler_audit_searches", "Searches that run or follow", NULL);
    a->metrics.parts = rl_health_counter(h, "remoteler_audit_recording_parts_total",
                                         "Parts of recordings taken", NULL);
    a->metrics.part_bytes = rl_health_counter(h, "remoteler_audit_recording_bytes_total",
                                              "Their bytes, compressed", NULL);
    a->metrics.repeated_parts =
        rl_health_counter(h, "remoteler_audit_repeated_recording_parts_total",
                          "Parts that had been taken before", NULL);
    a->metrics.refused_parts = rl_health_counter(h, "remoteler_audit_refused_recordings_total",
                                                 "Writes of parts that were refused", NULL);
    a->metrics.playing =
        rl_health_gauge(h, "remoteler_audit_playbacks", "Recordings that are read", NULL);
}

struct rl_audit *rl_audit_create(const struct rl_audit_config *config)
{
    struct rl_audit *audit = rl_alloc(sizeof *audit);
    audit->config = *config;
    if (!audit->config.decide_again_ms)
        audit->config.decide_again_ms = RL_AUDIT_DECIDE_AGAIN_MS;
    audit->end = &audit->first;
    pthread_mutex_init(&audit->lock, NULL);
    make_metrics(audit, config->health);
    return audit;
}

void rl_audit_serve(struct rl_audit *audit, struct rl_rpc_server *server)
{
    rl_rpc_server_add(server, &pb__audit__descriptor, handlers, RL_COUNT(handlers), audit);
}

rl_code rl_audit_authorize(void *audit, const char *service, const char *method,
                           const struct rl_rpc_peer *peer, struct rl_error *err)
{
    const struct rl_audit *a = audit;
    return rl_access_check(a->config.cluster, service, method, peer->identity, err);
}

void rl_audit_start(struct rl_audit *audit)
{
    audit_recordings_start(audit);
}

void rl_audit_stops_changed(struct rl_audit *audit)
{
    audit->stops++;
}

void rl_audit_free(struct rl_audit **holder)
{
    struct rl_audit *audit = *holder;
    if (!audit)
        return;
    RL_ASSERT(!audit->first);
    /* Their calls are over; a page that is being read or auth's answer still comes. */
    audit_recordings_stop(audit);
    while (audit->searches || audit->readings)
        rl_loop_turn(audit->config.loop, 10);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
    *holder = NULL;
}
