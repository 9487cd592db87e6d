/* tombstones: what audit's retention may drop, on auth's word; and the checkpoints for whoever
 * verifies. */
#include "clock/clock.h"
#include "db/checkpoints.h"
#include "ledger/ledger.h"
#include "log/log.h"
#include "people/caller.h"
#include "record/checkpoints.h"

#include <stdlib.h>
#include <string.h>

#define TOMBSTONES_MAX 256
#define DAY_S 86400
#define SLACK_S 3600 /* clocks differ */

/* ---- checkpoints ---- */

struct listing {
    uint64_t after;
    Pb__ListCheckpointsResponse *reply;
};

static rl_code list(struct rl_db *db, void *context, struct rl_error *err)
{
    struct listing *l = context;
    while (l->reply->n_checkpoints)
        pb__signed_checkpoint__free_unpacked(l->reply->checkpoints[--l->reply->n_checkpoints],
                                             NULL);
    return rl_checkpoints_list(db, l->after, &l->reply->checkpoints, &l->reply->n_checkpoints, err);
}

rl_code rl_admin_list_checkpoints(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                  const Pb__ListCheckpointsRequest *request,
                                  Pb__ListCheckpointsResponse *reply, struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    struct listing l = {request->after, reply};
    rl_code rc = rl_caller_enter(auth, peer, "event", "list", &caller, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, list, &l, err);
    rl_caller_close(&caller);
    return rc;
}

/* ---- tombstones ---- */

static rl_code read_last(struct rl_db *db, void *context, struct rl_error *err)
{
    Pb__SignedCheckpoint **last = context;
    int64_t age_ms = 0;
    if (*last)
        pb__signed_checkpoint__free_unpacked(*last, NULL);
    return rl_checkpoints_last(db, last, &age_ms, err);
}

static const Pb__ChainHead *head_of(const Pb__Checkpoint *checkpoint, const char *replica)
{
    for (size_t i = 0; checkpoint && i < checkpoint->n_heads; i++)
        if (strcmp(checkpoint->heads[i]->replica, replica) == 0)
            return checkpoint->heads[i];
    return NULL;
}

/* A whole day, older than retention, and below a checkpoint: else a tombstone would be a way to
 * delete. */
static rl_code check(const struct rl_snapshot *snapshot, const Pb__Checkpoint *last,
                     const Pb__Tombstone *t, struct rl_error *err)
{
    uint64_t retention_s = snapshot->config->spec->audit_retention_s;
    if (retention_s < DAY_S)
        retention_s = DAY_S;
    int64_t over_s = rl_clock_wall_s() + SLACK_S - (int64_t)retention_s;
    const Pb__ChainHead *head = head_of(last, t->replica);
    if (strcmp(t->cluster, snapshot->authorities->bundle->cluster) != 0 ||
        t->prev_hash.len != RL_LEDGER_HASH_BYTES || t->hash.len != RL_LEDGER_HASH_BYTES ||
        t->first_sequence == 0 || t->last_sequence < t->first_sequence ||
        t->events != t->last_sequence - t->first_sequence + 1)
        return rl_fail(err, RL_E_INVAL, "it is malformed, or events are missing");
    if (t->day < 0 || t->day > INT64_MAX / DAY_S - 1 || (t->day + 1) * DAY_S > over_s)
        return rl_fail(err, RL_E_DENIED, "the day is not older than retention");
    if (!head || head->sequence < t->last_sequence)
        return rl_fail(err, RL_E_PRECONDITION, "no checkpoint covers it yet");
    return RL_OK;
}

static void sign_each(const struct rl_snapshot *snapshot, const Pb__Checkpoint *last,
                      const Pb__SignTombstonesRequest *request, Pb__SignTombstonesResponse *reply)
{
    const struct rl_authority *signer = &snapshot->authorities->policy;
    for (size_t i = 0; i < request->n_tombstones; i++) {
        const Pb__Tombstone *t = request->tombstones[i];
        struct rl_error err;
        Pb__SignedTombstone *made = NULL;
        rl_code rc = check(snapshot, last, t, &err);
        if (rc == RL_OK)
            rc = rl_tombstone_sign(t, signer->key, signer->key_id, &made, &err);
        if (rc != RL_OK) {
            rl_log_warn("a tombstone was not signed", RL_TEXT("replica", t->replica),
                        RL_NUMBER("day", t->day), RL_TEXT("reason", err.message));
            made = rl_message_create(&pb__signed_tombstone__descriptor);
        }
        rl_message_append(&reply->tombstones, &reply->n_tombstones, made);
    }
}

rl_code rl_control_sign_tombstones(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                   const Pb__SignTombstonesRequest *request,
                                   Pb__SignTombstonesResponse *reply, struct rl_error *err)
{
    (void)peer;
    struct rl_snapshot *snapshot = NULL;
    Pb__SignedCheckpoint *last_signed = NULL;
    Pb__Checkpoint *last = NULL;
    if (request->n_tombstones > TOMBSTONES_MAX)
        return rl_fail(err, RL_E_INVAL, "at most %d tombstones at once", TOMBSTONES_MAX);
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_last, &last_signed, err);
    if (rc == RL_OK && last_signed) {
        const Pb__TrustBundle *bundle = snapshot->authorities->bundle;
        struct rl_ledger_keys keys = {bundle->n_policy_keys, bundle->policy_keys};
        rc = rl_checkpoint_open(last_signed, auth->cluster, keys, &last, err);
    }
    if (rc == RL_OK)
        sign_each(snapshot, last, request, reply);
    if (last)
        pb__checkpoint__free_unpacked(last, NULL);
    if (last_signed)
        pb__signed_checkpoint__free_unpacked(last_signed, NULL);
    rl_snapshot_unref(&snapshot);
    return rc;
}
