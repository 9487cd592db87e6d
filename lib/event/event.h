/* event: audit events. Made here, so that each has its uid, time, type and code; sent in batches
 * over a channel to audit, kept in memory while it is away, up to a named limit.
 */
#ifndef RL_EVENT_H
#define RL_EVENT_H

#include "remoteler/v1/audit.pb-c.h"
#include "rpc/rpc.h"

#define RL_EVENT_QUEUE_MAX 10000 /* beyond: the oldest goes, and it is counted */
#define RL_EVENT_BATCH_MAX 256
#define RL_EVENT_TEXT_BYTES_MAX 4096 /* command, reason: cut and marked */

/** A new event with uid, time and code; the strings are set by rl_event_set_*. `type` must be one
 * of the contract's types (asserted). Owns: the caller, until rl_event_send() takes it. */
Pb__Event *rl_event_create(const char *type, const char *outcome, int64_t now_ns);
void rl_event_free(Pb__Event **event);
/** Reads a packed one; NULL: it is damaged. What was kept is not to be taken for damaged where only
 * memory is short: then the process ends (docs/decisions/0018). */
Pb__Event *rl_event_unpack(struct rl_span packed);
/** Replaces a string field of the event with a copy: bounded, and U+FFFD for what is not UTF-8.
 * `field` is &event->user and so on. */
void rl_event_set(char **field, const char *text);
/** Adds "key": "value" to details. */
void rl_event_detail(Pb__Event *event, const char *key, const char *value);
bool rl_event_type_is_known(const char *type);
/** The code that belongs to a type and an outcome. Errors: RL_E_INVAL for what is not one. */
#define RL_EVENT_CODE_BYTES 8
rl_code rl_event_code(const char *type, const char *outcome, char code[RL_EVENT_CODE_BYTES],
                      struct rl_error *err);
/** An event from a peer: known type, outcome and code, a UUIDv7, strings within their limits. */
rl_code rl_event_check(const Pb__Event *event, struct rl_error *err);

struct rl_event_sender;
/** `channel` is borrowed: to audit, either transport. Sends at most 200 ms after an event came;
 * again with back-off until audit has it. */
struct rl_event_sender *rl_event_sender_create(struct rl_loop *loop,
                                               struct rl_rpc_channel *channel);
/** Told, on the loop's thread, when events are lost: audit refused one (its words), or was away for
 * too long; for the log. Of the latter at most once in RL_EVENT_SAY_MS, with how many in all. */
#define RL_EVENT_SAY_MS 10000
typedef void (*rl_event_lost_fn)(void *context, const Pb__Event *event /* NULL: the oldest ones */,
                                 const char *reason, size_t dropped);
void rl_event_sender_on_lost(struct rl_event_sender *sender, rl_event_lost_fn fn, void *context);
/** Takes the event. Any thread. */
void rl_event_send(struct rl_event_sender *sender, Pb__Event **event);
size_t rl_event_sender_pending(const struct rl_event_sender *sender);
/** Events that were dropped: audit was away for too long, or refused them. */
size_t rl_event_sender_dropped(const struct rl_event_sender *sender);
/** Tries for at most grace_ms to send what is left, turning the loop. */
void rl_event_sender_flush(struct rl_event_sender *sender, uint32_t grace_ms);
/** Flushes first. */
void rl_event_sender_free(struct rl_event_sender **sender, uint32_t grace_ms);

#endif
