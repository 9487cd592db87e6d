/* verify: every link of every chain is made again from what is stored, and held against what auth
 * signed and others saw. What is wrong first, by time, is told; the rest is read on, so that one
 * wrong event is not taken for many.
 */
#include "ledger/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A chain at a checkpoint. */
struct mark {
    uint64_t sequence, number; /* of the checkpoint */
    int64_t time_ns;
    uint8_t hash[RL_LEDGER_HASH_BYTES];
};

struct chain {
    struct chain *next;
    char replica[RL_LEDGER_UID_BYTES];
    struct mark *marks;                    /* by sequence */
    size_t mark_count, mark_room, mark_at; /* the next to come */
    uint64_t sequence;                     /* of the last record or tombstone */
    uint8_t hash[RL_LEDGER_HASH_BYTES];
    int64_t received_ns; /* of the last record */
    uint64_t unproven;   /* records since the last mark */
    /* the first record that is younger than the last mark that held */
    char first_uid[RL_LEDGER_UID_BYTES];
    int64_t first_ns;
    uint64_t faults_then; /* that were found before it */
};

struct seen {
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
};

struct rl_ledger_verifier {
    const char *cluster;
    struct rl_ledger_keys keys;
    struct chain *chains, *current;
    struct seen *checkpoints; /* [i]: of number first_number + i */
    size_t checkpoint_count, checkpoint_room;
    uint64_t first_number;
    uint64_t faults;
    struct rl_ledger_result result;
};

struct rl_ledger_verifier *rl_ledger_verifier_create(const char *cluster,
                                                     struct rl_ledger_keys keys)
{
    struct rl_ledger_verifier *v = rl_alloc(sizeof *v);
    v->cluster = cluster;
    v->keys = keys;
    return v;
}

void rl_ledger_verifier_free(struct rl_ledger_verifier **verifier)
{
    struct rl_ledger_verifier *v = *verifier;
    if (!v)
        return;
    for (struct chain *c = v->chains, *next; c; c = next) {
        next = c->next;
        free(c->marks);
        free(c);
    }
    free(v->checkpoints);
    free(v);
    *verifier = NULL;
}

/* ---- what is wrong ---- */

static void bad(struct rl_ledger_verifier *v, int64_t time_ns, const char *uid, const char *format,
                ...) __attribute__((format(printf, 4, 5)));

static void bad(struct rl_ledger_verifier *v, int64_t time_ns, const char *uid, const char *format,
                ...)
{
    struct rl_ledger_result *r = &v->result;
    if (v->faults++ && r->bad_time_ns <= time_ns)
        return;
    r->bad_time_ns = time_ns;
    snprintf(r->bad_uid, sizeof r->bad_uid, "%s", uid);
    va_list args;
    va_start(args, format);
    vsnprintf(r->bad_reason, sizeof r->bad_reason, format, args);
    va_end(args);
}

/* ---- growing ---- */

static void *grown(void *items, size_t count, size_t *room, size_t item_bytes)
{
    if (count < *room)
        return items;
    size_t wider = *room ? *room * 2 : 64;
    void *moved = rl_alloc_array(wider, item_bytes);
    if (count)
        memcpy(moved, items, count * item_bytes);
    free(items);
    *room = wider;
    return moved;
}

static struct chain *chain_of(struct rl_ledger_verifier *v, const char *replica)
{
    if (v->current && strcmp(v->current->replica, replica) == 0)
        return v->current;
    struct chain **at = &v->chains;
    while (*at && strcmp((*at)->replica, replica) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = rl_alloc(sizeof **at);
        snprintf((*at)->replica, sizeof(*at)->replica, "%s", replica);
    }
    v->current = *at;
    return *at;
}

/* ---- checkpoints ---- */

static const struct mark *last_mark(const struct chain *c)
{
    return c->mark_count ? &c->marks[c->mark_count - 1] : NULL;
}

static void add_mark(struct rl_ledger_verifier *v, const Pb__Checkpoint *checkpoint,
                     const Pb__ChainHead *head)
{
    struct chain *c = chain_of(v, head->replica);
    const struct mark *last = last_mark(c);
    if (last && head->sequence < last->sequence) {
        bad(v, checkpoint->time_ns, "", "checkpoint %" PRIu64 " has less of chain %s than %" PRIu64,
            checkpoint->number, c->replica, last->number);
        return;
    }
    if (last && head->sequence == last->sequence) {
        if (memcmp(last->hash, head->hash.data, RL_LEDGER_HASH_BYTES) != 0)
            bad(v, checkpoint->time_ns, "", "checkpoints %" PRIu64 " and %" PRIu64 " contradict",
                last->number, checkpoint->number);
        return;
    }
    c->marks = grown(c->marks, c->mark_count, &c->mark_room, sizeof *c->marks);
    struct mark *mark = &c->marks[c->mark_count++];
    *mark = (struct mark){
        .sequence = head->sequence, .number = checkpoint->number, .time_ns = checkpoint->time_ns};
    memcpy(mark->hash, head->hash.data, RL_LEDGER_HASH_BYTES);
}

static bool follows(const struct rl_ledger_verifier *v, const Pb__Checkpoint *c)
{
    if (v->checkpoint_count == 0)
        return c->number != 1 || c->previous_sha256.len == 0;
    return c->number == v->result.last_number + 1 &&
           rl_span_equal(RL_SPAN(c->previous_sha256.data, c->previous_sha256.len),
                         RL_SPAN(v->result.last_sha256, RL_LEDGER_HASH_BYTES));
}

void rl_ledger_add_checkpoint(struct rl_ledger_verifier *v, const Pb__SignedCheckpoint *s)
{
    struct rl_error err;
    Pb__Checkpoint *c = NULL;
    if (rl_checkpoint_open(s, v->cluster, v->keys, &c, &err) != RL_OK) {
        bad(v, v->result.last_time_ns, "", "the checkpoint after %" PRIu64 ": %s",
            v->result.last_number, err.message);
        return;
    }
    if (!follows(v, c))
        bad(v, c->time_ns, "", "checkpoint %" PRIu64 " does not follow %" PRIu64, c->number,
            v->result.last_number);
    if (v->checkpoint_count == 0)
        v->first_number = c->number;
    v->checkpoints =
        grown(v->checkpoints, v->checkpoint_count, &v->checkpoint_room, sizeof *v->checkpoints);
    rl_ledger_sha256(RL_SPAN(s->checkpoint.data, s->checkpoint.len), v->result.last_sha256);
    memcpy(v->checkpoints[v->checkpoint_count++].sha256, v->result.last_sha256,
           RL_LEDGER_HASH_BYTES);
    v->result.last_number = c->number;
    v->result.last_time_ns = c->time_ns;
    v->result.checkpoints++;
    for (size_t i = 0; i < c->n_heads; i++)
        add_mark(v, c, c->heads[i]);
    pb__checkpoint__free_unpacked(c, NULL);
}

void rl_ledger_add_seen(struct rl_ledger_verifier *v, uint64_t number,
                        const uint8_t sha256[RL_LEDGER_HASH_BYTES], const char *who)
{
    if (v->checkpoint_count && number < v->first_number)
        return; /* auth keeps them for a time */
    uint64_t at = number - v->first_number;
    if (v->checkpoint_count == 0 || at >= v->checkpoint_count)
        bad(v, v->result.last_time_ns, "",
            "checkpoint %" PRIu64
            ", which is in %s, is not there: the log was set back to %" PRIu64,
            number, who, v->result.last_number);
    else if (memcmp(v->checkpoints[at].sha256, sha256, RL_LEDGER_HASH_BYTES) != 0)
        bad(v, v->result.last_time_ns, "",
            "checkpoint %" PRIu64 " is another one than that in %s: the log was replaced", number,
            who);
}

/* ---- tombstones ---- */

static bool is_from_here(const struct chain *c, uint64_t sequence, const ProtobufCBinaryData *prev)
{
    return sequence == c->sequence + 1 &&
           rl_span_equal(RL_SPAN(prev->data, prev->len), RL_SPAN(c->hash, sizeof c->hash));
}

/* Within what was dropped nothing can be looked at any more, but for its last. */
static void pass_marks(struct rl_ledger_verifier *v, struct chain *c, const Pb__Tombstone *t)
{
    for (; c->mark_at < c->mark_count && c->marks[c->mark_at].sequence <= t->last_sequence;
         c->mark_at++) {
        const struct mark *mark = &c->marks[c->mark_at];
        if (mark->sequence == t->last_sequence &&
            memcmp(mark->hash, t->hash.data, RL_LEDGER_HASH_BYTES) != 0)
            bad(v, t->day * 86400 * INT64_C(1000000000), "",
                "the tombstone of chain %s contradicts checkpoint %" PRIu64, c->replica,
                mark->number);
    }
}

void rl_ledger_add_tombstone(struct rl_ledger_verifier *v, const Pb__SignedTombstone *s)
{
    struct rl_error err;
    Pb__Tombstone *t = NULL;
    if (rl_tombstone_open(s, v->cluster, v->keys, &t, &err) != RL_OK) {
        bad(v, 0, "", "a tombstone: %s", err.message);
        return;
    }
    struct chain *c = chain_of(v, t->replica);
    if (!is_from_here(c, t->first_sequence, &t->prev_hash))
        bad(v, t->day * 86400 * INT64_C(1000000000), "",
            "a tombstone of chain %s does not follow event %" PRIu64, c->replica, c->sequence);
    c->sequence = t->last_sequence;
    memcpy(c->hash, t->hash.data, RL_LEDGER_HASH_BYTES);
    pass_marks(v, c, t);
    pb__tombstone__free_unpacked(t, NULL);
}

/* ---- events ---- */

static bool is_hash(const ProtobufCBinaryData *bytes)
{
    return bytes->len == RL_LEDGER_HASH_BYTES;
}

/* The columns are what searches go by: an event that they hide is as good as deleted. */
static const char *wrong_column(const Pb__LedgerRecord *r, const Pb__Event *e)
{
    const char *user_cluster = e->user_cluster[0] ? e->user_cluster : e->cluster;
    int64_t at_ns = e->clock_is_wrong ? e->received_ns : e->time_ns;
    if (strcmp(r->uid, e->uid) != 0)
        return "uid";
    if (r->at_ns != at_ns || r->received_ns != e->received_ns)
        return "time";
    if (strcmp(r->type, e->type) != 0)
        return "type";
    if (strcmp(r->user, e->user) != 0 || strcmp(r->user_cluster, user_cluster) != 0)
        return "user";
    return strcmp(r->session_id, e->session_id) != 0 ? "session" : NULL;
}

static void check_content(struct rl_ledger_verifier *v, const Pb__LedgerRecord *r)
{
    Pb__Event *event = pb__event__unpack(NULL, r->packed.len, r->packed.data);
    const char *column = event ? wrong_column(r, event) : NULL;
    if (!event)
        bad(v, r->received_ns, r->uid, "the event can not be read");
    else if (column)
        bad(v, r->received_ns, r->uid, "the column \"%s\" is not what the event says", column);
    if (event)
        pb__event__free_unpacked(event, NULL);
}

static void check_link(struct rl_ledger_verifier *v, const struct chain *c,
                       const Pb__LedgerRecord *r)
{
    uint8_t hash[RL_LEDGER_HASH_BYTES];
    if (!is_hash(&r->prev_hash) || !is_hash(&r->hash)) {
        bad(v, r->received_ns, r->uid, "its hashes are malformed");
        return;
    }
    if (r->sequence > c->sequence + 1)
        bad(v, r->received_ns, r->uid,
            "before it %" PRIu64 " event(s) of chain %s are missing, from number %" PRIu64,
            r->sequence - c->sequence - 1, c->replica, c->sequence + 1);
    else if (r->sequence <= c->sequence)
        bad(v, r->received_ns, r->uid, "number %" PRIu64 " of chain %s is out of order",
            r->sequence, c->replica);
    else if (memcmp(r->prev_hash.data, c->hash, RL_LEDGER_HASH_BYTES) != 0)
        bad(v, r->received_ns, r->uid, "it does not follow the event before it");
    if (r->received_ns < c->received_ns)
        bad(v, r->received_ns, r->uid, "its time of receipt is before that of the event before it");
    rl_ledger_hash(r->prev_hash.data, r->replica, (int64_t)r->sequence,
                   RL_SPAN(r->packed.data, r->packed.len), hash);
    if (memcmp(hash, r->hash.data, RL_LEDGER_HASH_BYTES) != 0)
        bad(v, r->received_ns, r->uid, "it was changed: it does not hash to what was written");
}

/* A chain that was made anew from some event on is whole in itself: the checkpoint tells. */
static void check_mark(struct rl_ledger_verifier *v, struct chain *c, const Pb__LedgerRecord *r)
{
    while (c->mark_at < c->mark_count && c->marks[c->mark_at].sequence < r->sequence)
        c->mark_at++;
    if (c->mark_at == c->mark_count || c->marks[c->mark_at].sequence != r->sequence)
        return;
    const struct mark *mark = &c->marks[c->mark_at++];
    bool holds = is_hash(&r->hash) && memcmp(mark->hash, r->hash.data, RL_LEDGER_HASH_BYTES) == 0;
    /* A break that was found since the last one says it better. */
    if (!holds && c->faults_then == v->faults)
        bad(v, c->first_ns, c->first_uid,
            "it, or one after it up to %s, was made anew: checkpoint %" PRIu64 " says otherwise",
            r->uid, mark->number);
    if (!holds)
        return;
    c->unproven = 0;
    c->first_uid[0] = '\0';
}

void rl_ledger_add_record(struct rl_ledger_verifier *v, const Pb__LedgerRecord *r)
{
    struct chain *c = chain_of(v, r->replica);
    v->result.events++;
    c->unproven++;
    if (!c->first_uid[0]) {
        snprintf(c->first_uid, sizeof c->first_uid, "%s", r->uid);
        c->first_ns = r->received_ns;
        c->faults_then = v->faults;
    }
    check_link(v, c, r);
    check_content(v, r);
    check_mark(v, c, r);
    c->sequence = r->sequence;
    c->received_ns = r->received_ns;
    if (is_hash(&r->hash))
        memcpy(c->hash, r->hash.data, RL_LEDGER_HASH_BYTES);
}

/* ---- the end ---- */

static void check_end(struct rl_ledger_verifier *v, const struct chain *c)
{
    const struct mark *last = last_mark(c);
    if (!last || last->sequence <= c->sequence)
        return;
    /* The first checkpoint that has more knows best when it was there. */
    const struct mark *first = last;
    while (first > c->marks && first[-1].sequence > c->sequence)
        first--;
    bad(v, first->time_ns, "",
        "the end of chain %s is missing, from number %" PRIu64 ": checkpoint %" PRIu64
        " has it up to %" PRIu64,
        c->replica, c->sequence + 1, last->number, last->sequence);
}

void rl_ledger_finish(struct rl_ledger_verifier *v, struct rl_ledger_result *out)
{
    for (const struct chain *c = v->chains; c; c = c->next) {
        check_end(v, c);
        v->result.unproven += c->unproven;
    }
    v->result.is_good = v->faults == 0;
    *out = v->result;
}
