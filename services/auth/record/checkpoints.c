/* checkpoints: read the last (a worker), ask audit (the loop), sign and keep the next (a worker).
 * One round at a time; of several replicas whoever comes first makes it, the others take it over.
 */
#include "record/checkpoints.h"

#include "bytes/encoding.h"
#include "clock/clock.h"
#include "db/checkpoints.h"
#include "ledger/ledger.h"
#include "log/log.h"
#include "record/events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 20000
#define HEAD_BYTES_MAX 64

struct round {
    struct rl_checkpoints *owner;
    rl_code rc;
    struct rl_error err;
    struct rl_snapshot *snapshot;
    Pb__SignedCheckpoint *last_signed; /* NULL: none yet */
    Pb__Checkpoint *last;
    int64_t last_age_ms;
    Pb__HeadsResponse *heads;
};

struct rl_checkpoints {
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct rl_timer *timer;
    struct rl_rpc_call *asking;
    struct round *round; /* NULL: none is under way */
    bool is_stopped, is_broken;
    uint64_t number; /* of the latest that was seen */
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    uint8_t head[HEAD_BYTES_MAX];
    size_t head_n;
};

static uint64_t period_ms(const struct rl_checkpoints *c)
{
    return c->auth->settings->checkpoint_every_s * 1000;
}

struct rl_span rl_checkpoints_head(const struct rl_checkpoints *c)
{
    return c ? RL_SPAN(c->head, c->head_n) : RL_SPAN(NULL, 0);
}

static void round_free(struct round *r)
{
    rl_snapshot_unref(&r->snapshot);
    if (r->last_signed)
        pb__signed_checkpoint__free_unpacked(r->last_signed, NULL);
    if (r->last)
        pb__checkpoint__free_unpacked(r->last, NULL);
    if (r->heads)
        pb__heads_response__free_unpacked(r->heads, NULL);
    free(r);
}

/* ---- out of the database ---- */

static void append_to_file(const struct rl_checkpoints *c, const Pb__SignedCheckpoint *made,
                           const char *sha256, int64_t time_ns)
{
    const char *path = c->auth->settings->checkpoint_file;
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (path && !file)
        rl_log_error("a checkpoint was not written to its file", RL_TEXT("file", path),
                     RL_TEXT("error", strerror(errno)));
    if (!file)
        return;
    char time[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(time_ns, time);
    char *body = rl_base64_encode(RL_BINARY(made->checkpoint));
    char *signature = rl_base64_encode(RL_BINARY(made->signature));
    fprintf(file,
            "{\"number\":%llu,\"sha256\":\"%s\",\"time\":\"%s\",\"checkpoint\":\"%s\","
            "\"signature\":\"%s\",\"key_id\":\"%s\"}\n",
            (unsigned long long)c->number, sha256, time, body, signature, made->key_id);
    free(body);
    free(signature);
    if (fclose(file) != 0)
        rl_log_error("a checkpoint was not written to its file", RL_TEXT("file", path),
                     RL_TEXT("error", strerror(errno)));
}

static void take(struct rl_checkpoints *c, const Pb__SignedCheckpoint *made, uint64_t number,
                 int64_t time_ns)
{
    if (number <= c->number)
        return;
    c->number = number;
    rl_ledger_sha256(RL_BINARY(made->checkpoint), c->sha256);
    Pb__AuditHead head = PB__AUDIT_HEAD__INIT;
    head.number = number;
    head.sha256 = (ProtobufCBinaryData){sizeof c->sha256, c->sha256};
    RL_ASSERT(pb__audit_head__get_packed_size(&head) <= sizeof c->head);
    c->head_n = pb__audit_head__pack(&head, c->head);
    char *hex = rl_hex_encode(RL_SPAN(c->sha256, sizeof c->sha256));
    rl_log_info("audit checkpoint", RL_NUMBER("number", number), RL_TEXT("sha256", hex));
    append_to_file(c, made, hex, time_ns);
    free(hex);
}

/* ---- the end of a round ---- */

static void note_outcome(struct rl_checkpoints *c, const struct round *r)
{
    bool is_broken = r->rc == RL_E_DATA_LOSS || r->rc == RL_E_UNAUTHENTICATED;
    if (is_broken && !c->is_broken)
        rl_log_error("the audit log does not extend its last checkpoint: nothing more is signed; "
                     "run `tctl audit verify`",
                     RL_TEXT("reason", r->err.message));
    else if (!is_broken && r->rc != RL_OK)
        rl_log_warn("no checkpoint of the audit log", RL_TEXT("reason", r->err.message));
    /* Only what was signed since says that it is whole again. */
    c->is_broken = is_broken || (c->is_broken && r->rc != RL_OK);
    rl_metric_set(c->auth->metrics.audit_broken, c->is_broken);
}

static void end_round(struct round *r)
{
    struct rl_checkpoints *c = r->owner;
    note_outcome(c, r);
    round_free(r);
    c->round = NULL;
    if (!c->is_stopped)
        rl_timer_arm(c->timer, period_ms(c));
}

/* ---- signing ---- */

static bool is_same(const Pb__Checkpoint *last, const Pb__HeadsResponse *now)
{
    if (!last || last->n_heads != now->n_heads)
        return false;
    for (size_t i = 0; i < now->n_heads; i++)
        if (last->heads[i]->sequence != now->heads[i]->sequence ||
            strcmp(last->heads[i]->replica, now->heads[i]->replica) != 0)
            return false;
    return true;
}

static rl_code sign_next(const struct round *r, Pb__SignedCheckpoint **made, uint64_t *number,
                         struct rl_error *err)
{
    uint8_t previous[RL_LEDGER_HASH_BYTES];
    Pb__Checkpoint next = PB__CHECKPOINT__INIT;
    next.cluster = r->owner->auth->cluster;
    next.number = r->last ? r->last->number + 1 : 1;
    next.time_ns = rl_clock_wall_ns();
    next.heads = r->heads->heads;
    next.n_heads = r->heads->n_heads;
    if (r->last_signed) {
        rl_ledger_sha256(RL_BINARY(r->last_signed->checkpoint), previous);
        next.previous_sha256 = (ProtobufCBinaryData){sizeof previous, previous};
    }
    const struct rl_authority *signer = &r->snapshot->authorities->policy;
    *number = next.number;
    return rl_checkpoint_sign(&next, signer->key, signer->key_id, made, err);
}

/* Another replica may have made one meanwhile: then this is not the next. */
static rl_code sign_in_database(struct rl_db *db, void *context, struct rl_error *err)
{
    struct round *r = context;
    Pb__SignedCheckpoint *latest = NULL, *made = NULL;
    int64_t age_ms = 0;
    uint64_t number = 0;
    rl_code rc = rl_checkpoints_lock(db, err);
    if (rc == RL_OK)
        rc = rl_checkpoints_last(db, &latest, &age_ms, err);
    bool is_ours = !latest == !r->last_signed &&
                   (!latest || rl_span_equal(RL_BINARY(latest->checkpoint),
                                             RL_BINARY(r->last_signed->checkpoint)));
    if (latest)
        pb__signed_checkpoint__free_unpacked(latest, NULL);
    if (rc != RL_OK || !is_ours)
        return rc;
    rc = sign_next(r, &made, &number, err);
    if (rc == RL_OK)
        rc = rl_checkpoints_add(db, number, made, err);
    if (made)
        pb__signed_checkpoint__free_unpacked(made, NULL);
    return rc;
}

static rl_code read_last(struct rl_db *db, void *context, struct rl_error *err)
{
    struct round *r = context;
    if (r->last_signed)
        pb__signed_checkpoint__free_unpacked(r->last_signed, NULL);
    r->last_signed = NULL;
    return rl_checkpoints_last(db, &r->last_signed, &r->last_age_ms, err);
}

/* The last one, read and opened: what is in the database is believed no more than what audit
 * says. */
static rl_code load_last(struct round *r, struct rl_error *err)
{
    struct rl_auth *auth = r->owner->auth;
    rl_snapshot_unref(&r->snapshot);
    rl_code rc = rl_snapshots_current(auth->snapshots, &r->snapshot, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_last, r, err);
    if (r->last)
        pb__checkpoint__free_unpacked(r->last, NULL);
    r->last = NULL;
    if (rc != RL_OK || !r->last_signed)
        return rc;
    const Pb__TrustBundle *bundle = r->snapshot->authorities->bundle;
    struct rl_ledger_keys keys = {bundle->n_policy_keys, bundle->policy_keys};
    rc = rl_checkpoint_open(r->last_signed, auth->cluster, keys, &r->last, err);
    return rc == RL_OK ? rc : rl_error_prefix(err, "the last checkpoint");
}

static void on_signed(void *context)
{
    struct round *r = context;
    if (r->rc == RL_OK && r->last && !r->owner->is_stopped)
        take(r->owner, r->last_signed, r->last->number, r->last->time_ns);
    end_round(r);
}

static void work_sign(void *context)
{
    struct round *r = context;
    r->rc = rl_checkpoint_check_extends(r->last, r->heads->known, r->heads->n_known,
                                        r->heads->heads, r->heads->n_heads, &r->err);
    if (r->rc == RL_OK && !is_same(r->last, r->heads) && r->heads->n_heads)
        r->rc = rl_store_transaction(r->owner->auth->store, sign_in_database, r, &r->err);
    if (r->rc == RL_OK)
        r->rc = load_last(r, &r->err);
    rl_loop_post(r->owner->loop, on_signed, r);
}

/* ---- asking audit ---- */

static void submit(struct round *r, void (*work)(void *context))
{
    if (rl_workers_submit(r->owner->auth->control_workers, work, r, &r->err) == RL_OK)
        return;
    r->rc = r->err.code;
    end_round(r);
}

static void on_heads(void *context, rl_code code, const char *message,
                     const ProtobufCMessage *reply)
{
    struct round *r = context;
    r->owner->asking = NULL;
    r->rc = code;
    if (code != RL_OK || r->owner->is_stopped) {
        rl_fail(&r->err, code == RL_OK ? RL_E_CANCELLED : code, "audit: %s", message);
        end_round(r);
        return;
    }
    r->heads = rl_message_copy(reply);
    submit(r, work_sign);
}

/* Both as signed: what the database of auth says now, and what this process saw before. */
static rl_code check_memory(const struct round *r, struct rl_error *err)
{
    const struct rl_checkpoints *c = r->owner;
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    uint64_t number = r->last ? r->last->number : 0;
    if (number < c->number)
        return rl_fail(err, RL_E_DATA_LOSS,
                       "checkpoint %llu was signed, but the database ends with %llu: it was set "
                       "back",
                       (unsigned long long)c->number, (unsigned long long)number);
    if (!number || number > c->number)
        return RL_OK;
    rl_ledger_sha256(RL_BINARY(r->last_signed->checkpoint), sha256);
    if (memcmp(sha256, c->sha256, sizeof sha256) != 0)
        return rl_fail(err, RL_E_DATA_LOSS, "checkpoint %llu was replaced",
                       (unsigned long long)number);
    return RL_OK;
}

static void on_loaded(void *context)
{
    struct round *r = context;
    struct rl_checkpoints *c = r->owner;
    if (r->rc == RL_OK)
        r->rc = check_memory(r, &r->err);
    if (r->rc != RL_OK || c->is_stopped) {
        end_round(r);
        return;
    }
    if (r->last)
        take(c, r->last_signed, r->last->number, r->last->time_ns);
    struct rl_rpc_channel *audit = rl_auth_events_channel(c->auth->events);
    bool is_young = r->last && r->last_age_ms < (int64_t)period_ms(c) / 2;
    if (!audit || is_young) {
        end_round(r);
        return;
    }
    Pb__HeadsRequest request = PB__HEADS_REQUEST__INIT;
    if (r->last) {
        request.n_known = r->last->n_heads;
        request.known = r->last->heads;
        request.since_ns = r->last->time_ns;
    }
    rl_rpc_unary(audit, &pb__audit__descriptor, "Heads", &request.base, ASK_MS, on_heads, r,
                 &c->asking);
}

static void work_load(void *context)
{
    struct round *r = context;
    r->rc = load_last(r, &r->err);
    rl_loop_post(r->owner->loop, on_loaded, r);
}

static void begin_round(void *context)
{
    struct rl_checkpoints *c = context;
    if (c->round || c->is_stopped)
        return;
    c->round = rl_alloc(sizeof *c->round);
    c->round->owner = c;
    submit(c->round, work_load);
}

/* ---- life ---- */

struct rl_checkpoints *rl_checkpoints_start(struct rl_auth *auth, struct rl_loop *loop)
{
    struct rl_checkpoints *c = rl_alloc(sizeof *c);
    c->auth = auth;
    c->loop = loop;
    c->timer = rl_timer_create(loop, begin_round, c);
    rl_timer_arm(c->timer, period_ms(c) < 5000 ? period_ms(c) : 5000);
    return c;
}

void rl_checkpoints_stop(struct rl_checkpoints *c)
{
    if (!c)
        return;
    c->is_stopped = true;
    rl_timer_disarm(c->timer);
    if (c->asking)
        rl_rpc_cancel(c->asking);
    while (c->round)
        rl_loop_turn(c->loop, 10);
}

void rl_checkpoints_free(struct rl_checkpoints **checkpoints)
{
    struct rl_checkpoints *c = *checkpoints;
    if (!c)
        return;
    rl_checkpoints_stop(c);
    rl_timer_free(&c->timer);
    free(c);
    *checkpoints = NULL;
}
