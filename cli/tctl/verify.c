/* verify: the audit log, proven here and not by whoever keeps it: every hash is made again, and
 * held against what auth signed, what this machine remembers, and what others saw.
 */
#include "bytes/encoding.h"
#include "memory.h"
#include "tctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify_settings {
    struct rl_text_list against;
    char *memory, *format;
};

#define AT(field) offsetof(struct verify_settings, field)
static const struct rl_setting rows[] = {
    {.name = "against",
     .type = RL_SETTING_LIST,
     .offset = AT(against),
     .help = "files with checkpoints that somebody else saw: auth's --checkpoint-file, another "
             "memory, `remoteler status --format=json` of a node"},
    {.name = "memory",
     .type = RL_SETTING_TEXT,
     .offset = AT(memory),
     .help = "what this machine saw last; ~/.local/state/remoteler/audit-CLUSTER.json"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

struct verifying {
    struct tctl_client *client;
    struct rl_ledger_verifier *verifier;
    uint32_t partitions;
    bool is_over;
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

/* ---- what auth signed ---- */

static rl_code add_checkpoints(struct verifying *v, struct rl_error *err)
{
    uint64_t after = 0;
    for (;;) {
        ProtobufCMessage *reply = NULL;
        Pb__ListCheckpointsRequest request = PB__LIST_CHECKPOINTS_REQUEST__INIT;
        request.after = after;
        rl_code rc = tctl_call(v->client, "ListCheckpoints", &request.base, &reply, err);
        if (rc != RL_OK)
            return rc;
        const Pb__ListCheckpointsResponse *list = (const Pb__ListCheckpointsResponse *)reply;
        size_t count = list->n_checkpoints;
        uint64_t next = after;
        for (size_t i = 0; i < count; i++) {
            const ProtobufCBinaryData *body = &list->checkpoints[i]->checkpoint;
            Pb__Checkpoint *c = pb__checkpoint__unpack(NULL, body->len, body->data);
            next = c && c->number > next ? c->number : next + 1;
            if (c)
                pb__checkpoint__free_unpacked(c, NULL);
            rl_ledger_add_checkpoint(v->verifier, list->checkpoints[i]);
        }
        protobuf_c_message_free_unpacked(reply, NULL);
        if (count == 0)
            return RL_OK;
        after = next;
    }
}

/* ---- what audit has ---- */

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)call;
    struct verifying *v = context;
    const Pb__LedgerResponse *part = (const Pb__LedgerResponse *)message;
    v->partitions += part->partitions;
    for (size_t i = 0; i < part->n_tombstones; i++)
        rl_ledger_add_tombstone(v->verifier, part->tombstones[i]);
    for (size_t i = 0; i < part->n_records; i++)
        rl_ledger_add_record(v->verifier, part->records[i]);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)call;
    struct verifying *v = context;
    v->is_over = true;
    v->code = code;
    snprintf(v->message, sizeof v->message, "%s", message);
}

static const struct rl_rpc_stream_ops ops = {.message = on_message, .closed = on_closed};

static rl_code add_log(struct verifying *v, struct rl_error *err)
{
    struct rl_tls_client *tls = NULL;
    struct rl_rpc_channel *channel = NULL;
    Pb__LedgerRequest request = PB__LEDGER_REQUEST__INIT;
    rl_code rc = tctl_open_audit(v->client, &tls, &channel, err);
    if (rc == RL_OK) {
        struct rl_rpc_call *call =
            rl_rpc_stream(channel, &pb__audit__descriptor, "Ledger", 0, &ops, v);
        rc = rl_rpc_send(call, &request.base, err);
        rl_rpc_end(call, RL_OK, NULL);
        while (!v->is_over)
            rl_loop_turn(v->client->loop, 1000);
        if (v->code != RL_OK)
            rc = rl_fail(err, v->code, "%s", v->message);
    }
    rl_rpc_channel_free(&channel);
    rl_tls_client_unref(&tls);
    return rc;
}

/* ---- the answer ---- */

static json_t *result_json(const struct rl_ledger_result *r, uint32_t partitions)
{
    char *hex = rl_hex_encode(RL_SPAN(r->last_sha256, sizeof r->last_sha256));
    json_t *last = json_null(), *bad = json_null();
    if (r->last_number)
        last = json_pack("{s:I, s:o, s:s}", "number", (json_int_t)r->last_number, "time",
                         rl_json_time_or_null(r->last_time_ns), "sha256", hex);
    if (!r->is_good)
        bad =
            json_pack("{s:o, s:o, s:o}", "uid", rl_json_text_or_null(r->bad_uid), "time",
                      rl_json_time_or_null(r->bad_time_ns), "reason", rl_json_text(r->bad_reason));
    free(hex);
    return json_pack("{s:b, s:I, s:I, s:I, s:o, s:o}", "ok", r->is_good, "events",
                     (json_int_t)r->events, "partitions", (json_int_t)partitions, "unproven",
                     (json_int_t)r->unproven, "last_checkpoint", last, "first_bad", bad);
}

static const struct rl_column columns[] = {
    {"OK", "ok"},
    {"Events", "events"},
    {"Partitions", "partitions"},
    {"Not proven yet", "unproven"},
    {"Last checkpoint", "last_checkpoint.number"},
    {"of", "last_checkpoint.time"},
    {"First bad", "first_bad.uid"},
    {"at", "first_bad.time"},
    {"Reason", "first_bad.reason"},
};

static rl_code show(const struct rl_ledger_result *r, uint32_t partitions, enum rl_format format,
                    struct rl_error *err)
{
    json_t *object = result_json(r, partitions);
    rl_code rc = rl_output_object(stdout, format, object, columns, RL_COUNT(columns), err);
    json_decref(object);
    if (rc != RL_OK)
        return rc;
    if (r->last_number == 0)
        rl_output_say("tctl: auth has signed no checkpoint yet: nothing is proven");
    else if (r->unproven)
        rl_output_say("tctl: %" PRIu64 " event(s) are younger than the last checkpoint and not "
                      "proven yet",
                      r->unproven);
    if (r->is_good)
        return RL_OK;
    return rl_fail(err, RL_E_DATA_LOSS, "the audit log was tampered with: %s%s%s", r->bad_uid,
                   r->bad_uid[0] ? ": " : "", r->bad_reason);
}

/* ---- the command ---- */

static rl_code collect(struct verifying *v, const struct verify_settings *s,
                       const struct tctl_memory *memory, const char *memory_path,
                       struct rl_error *err)
{
    rl_code rc = add_checkpoints(v, err);
    if (rc == RL_OK && memory->is_there)
        rl_ledger_add_seen(v->verifier, memory->number, memory->sha256, memory_path);
    for (size_t i = 0; rc == RL_OK && i < s->against.count; i++)
        rc = tctl_memory_add_seen(v->verifier, s->against.items[i], err);
    return rc == RL_OK ? add_log(v, err) : rc;
}

/* What was pinned the first time counts, not what an identity file says that came later. */
static struct rl_ledger_keys pinned(const struct tctl_client *client,
                                    const struct tctl_memory *memory)
{
    if (memory->is_there)
        return (struct rl_ledger_keys){memory->key_count, memory->keys};
    return (struct rl_ledger_keys){client->bundle->n_policy_keys, client->bundle->policy_keys};
}

static rl_code verify(struct tctl_client *client, const void *settings,
                      const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct verify_settings *s = settings;
    enum rl_format format;
    struct tctl_memory memory = {0};
    struct rl_ledger_result result;
    char *path = s->memory ? rl_strdup(s->memory) : tctl_memory_path(client->cluster);
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK && path)
        rc = tctl_memory_read(path, client->cluster, &memory, err);
    if (rc == RL_OK) {
        struct rl_ledger_keys keys = pinned(client, &memory);
        struct verifying v = {.client = client,
                              .verifier = rl_ledger_verifier_create(client->cluster, keys)};
        rc = collect(&v, s, &memory, path ? path : "", err);
        if (rc == RL_OK) {
            rl_ledger_finish(v.verifier, &result);
            rc = show(&result, v.partitions, format, err);
        }
        if (rc == RL_OK && path && result.last_number)
            rc = tctl_memory_write(path, client->cluster, keys, &result, err);
        rl_ledger_verifier_free(&v.verifier);
    }
    tctl_memory_fini(&memory);
    free(path);
    return rc;
}

static rl_code check(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct verify_settings *)settings)->format, &format, err);
}

static const struct rl_settings_spec spec = {
    .program = "tctl audit verify",
    .summary = "prove that no event was changed or removed; the first bad one is named",
    .usage = "[--against=FILE ...] [flags]",
    .example = "tctl audit verify --against=checkpoints.jsonl",
    .rows = rows,
    .count = RL_COUNT(rows),
};
const struct tctl_command tctl_audit_verify = {
    .spec = &spec, .bytes = sizeof(struct verify_settings), .check = check, .work = verify};
