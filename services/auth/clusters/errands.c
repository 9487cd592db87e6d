#include "clusters/errands.h"

#include "clusters/peer_trust.h"
#include "clusters/root.h"
#include "db/cluster.h"
#include "db/errands.h"
#include "log/log.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

/* ---- one errand ---- */

static rl_code take(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rl_errand **errand = context;
    rl_errand_free(errand);
    return rl_errands_take(db, errand, err);
}

static rl_code call(struct rl_auth *auth, const struct rl_errand *e, bool as_auth,
                    const char *method, const ProtobufCMessage *request, ProtobufCMessage **reply,
                    struct rl_error *err)
{
    const struct rl_root_line line = {
        .cluster = e->root, .proxy = e->proxy, .trust = e->trust, .as_auth = as_auth};
    return rl_root_call(auth, &line, method, request, reply, err);
}

static rl_code ask_state(struct rl_auth *auth, const struct rl_errand *e, bool *is_there,
                         struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__TrustStateRequest request = PB__TRUST_STATE_REQUEST__INIT;
    request.trust_id = (ProtobufCBinaryData){e->trust_id.n, e->trust_id.p};
    rl_code rc = call(auth, e, false, "State", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    *is_there = ((const Pb__TrustStateResponse *)reply)->is_there;
    protobuf_c_message_free_unpacked(reply, NULL);
    return RL_OK;
}

struct ending {
    const struct rl_errand *errand;
    const uint8_t *told; /* an update's; else NULL */
    bool is_over;        /* the trust, says the root */
    bool was_purged;
};

/* The root's own auth has said so. One that was established since, under the same name, stays. */
static rl_code purge(struct rl_db *db, struct ending *e, struct rl_error *err)
{
    struct rl_root_row *row = NULL;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_roots_find(db, e->errand->root, true, &row, err);
    e->was_purged = rc == RL_OK &&
                    rl_span_equal(rl_buf_span(&row->trust_id), rl_buf_span(&e->errand->trust_id));
    if (e->was_purged)
        rc = rl_root_purge(db, e->errand->root, err);
    rl_root_row_free(&row);
    return rc == RL_E_NOT_FOUND ? RL_OK : rc;
}

static rl_code finish(struct rl_db *db, void *context, struct rl_error *err)
{
    struct ending *e = context;
    struct rl_span trust_id = rl_buf_span(&e->errand->trust_id);
    rl_code rc = RL_OK;
    if (e->is_over)
        rc = purge(db, e, err);
    if (rc == RL_OK && e->told && !e->is_over)
        rc = rl_roots_note_told(db, trust_id, RL_SPAN(e->told, 32), err);
    return rc == RL_OK ? rl_errands_done(db, e->errand->kind, trust_id, err) : rc;
}

static rl_code end_errand(struct rl_auth *auth, const struct rl_errand *errand, const uint8_t *told,
                          bool is_over, struct rl_error *err)
{
    struct ending e = {errand, told, is_over, false};
    rl_code rc = rl_store_transaction(auth->store, finish, &e, err);
    if (rc != RL_OK || !e.was_purged)
        return rc;
    rl_log_info("a root has ended the trust", RL_TEXT("root", errand->root));
    Pb__Event *event = rl_auth_event(auth, "trusted_cluster.delete", "success", NULL);
    rl_auth_event_resource(event, "trusted_cluster", "", errand->root);
    rl_event_detail(event, "by", "root");
    rl_auth_tell(auth, &event);
    return RL_OK;
}

static rl_code leave(struct rl_auth *auth, const struct rl_errand *e, struct rl_error *err)
{
    bool is_there = true;
    ProtobufCMessage *reply = NULL;
    Pb__TrustLeaveRequest request = PB__TRUST_LEAVE_REQUEST__INIT;
    request.trust_id = (ProtobufCBinaryData){e->trust_id.n, e->trust_id.p};
    rl_code rc = ask_state(auth, e, &is_there, err);
    if (rc == RL_OK && is_there)
        rc = call(auth, e, true, "Leave", &request.base, &reply, err);
    if (reply)
        protobuf_c_message_free_unpacked(reply, NULL);
    return rc == RL_OK ? end_errand(auth, e, NULL, false, err) : rc;
}

static rl_code tell_authorities(struct rl_auth *auth, const struct rl_errand *e,
                                Pb__TrustBundle *own, struct rl_error *err)
{
    char version[] = RL_VERSION;
    ProtobufCMessage *reply = NULL;
    Pb__TrustUpdateRequest request = PB__TRUST_UPDATE_REQUEST__INIT;
    request.trust = own;
    request.version = version;
    rl_code rc = call(auth, e, true, "Update", &request.base, &reply, err);
    if (rc == RL_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static rl_code update(struct rl_auth *auth, const struct rl_errand *e, struct rl_error *err)
{
    uint8_t hash[32];
    bool is_there = true;
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    Pb__TrustBundle *own = rl_peer_trust_own(snapshot, RL_PEER_LEAF);
    rl_peer_trust_hash(own, hash);
    rc = ask_state(auth, e, &is_there, err);
    if (rc == RL_OK && is_there)
        rc = tell_authorities(auth, e, own, err);
    if (rc == RL_OK)
        rc = end_errand(auth, e, hash, !is_there, err);
    pb__trust_bundle__free_unpacked(own, NULL);
    rl_snapshot_unref(&snapshot);
    return rc;
}

static rl_code check_state(struct rl_auth *auth, const struct rl_errand *e, struct rl_error *err)
{
    bool is_there = true;
    rl_code rc = ask_state(auth, e, &is_there, err);
    return rc == RL_OK ? end_errand(auth, e, NULL, !is_there, err) : rc;
}

static void run_one(struct rl_auth *auth, const struct rl_errand *e)
{
    struct rl_error err = {RL_OK, ""};
    rl_code rc = strcmp(e->kind, "leave") == 0    ? leave(auth, e, &err)
                 : strcmp(e->kind, "update") == 0 ? update(auth, e, &err)
                                                  : check_state(auth, e, &err);
    if (rc != RL_OK)
        rl_log_warn("a root was not told; it is tried again", RL_TEXT("root", e->root),
                    RL_TEXT("what", e->kind), RL_TEXT("error", err.message));
}

/* ---- all that are due ---- */

static rl_code note_updates(struct rl_db *db, void *context, struct rl_error *err)
{
    return rl_errands_add_updates(db, RL_SPAN(context, 32), err);
}

static rl_code look_for_updates(struct rl_auth *auth, struct rl_error *err)
{
    uint8_t hash[32];
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    Pb__TrustBundle *own = rl_peer_trust_own(snapshot, RL_PEER_LEAF);
    rl_peer_trust_hash(own, hash);
    pb__trust_bundle__free_unpacked(own, NULL);
    rl_snapshot_unref(&snapshot);
    return rl_store_transaction(auth->store, note_updates, hash, err);
}

rl_code rl_errands_run(struct rl_auth *auth, const atomic_bool *is_stopped, struct rl_error *err)
{
    rl_code rc = look_for_updates(auth, err);
    for (size_t i = 0; rc == RL_OK && i < RL_ERRANDS_AT_ONCE_MAX; i++) {
        if (is_stopped && atomic_load(is_stopped))
            break;
        struct rl_errand *errand = NULL;
        rc = rl_store_transaction(auth->store, take, &errand, err);
        if (!errand)
            break;
        if (rc == RL_OK)
            run_one(auth, errand);
        rl_errand_free(&errand);
    }
    return rc;
}

/* ---- in the background ---- */

struct rl_errands {
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct rl_timer *timer;
    bool is_running;
    atomic_bool is_stopped;
};

static void on_done(void *context)
{
    struct rl_errands *errands = context;
    errands->is_running = false;
    if (!atomic_load(&errands->is_stopped))
        rl_timer_arm(errands->timer, RL_ERRANDS_LOOK_MS);
}

/* That the database is away the hub says. */
static void work(void *context)
{
    struct rl_errands *errands = context;
    struct rl_error err;
    (void)rl_errands_run(errands->auth, &errands->is_stopped, &err);
    rl_loop_post(errands->loop, on_done, errands);
}

static void on_timer(void *context)
{
    struct rl_errands *errands = context;
    if (rl_workers_submit(errands->auth->workers, work, errands, NULL) == RL_OK)
        errands->is_running = true;
    else
        rl_timer_arm(errands->timer, RL_ERRANDS_LOOK_MS);
}

struct rl_errands *rl_errands_start(struct rl_auth *auth, struct rl_loop *loop)
{
    struct rl_errands *errands = rl_alloc(sizeof *errands);
    errands->auth = auth;
    atomic_init(&errands->is_stopped, false);
    errands->loop = loop;
    errands->timer = rl_timer_create(loop, on_timer, errands);
    rl_timer_arm(errands->timer, RL_ERRANDS_LOOK_MS);
    return errands;
}

void rl_errands_stop(struct rl_errands *errands)
{
    if (!errands)
        return;
    atomic_store(&errands->is_stopped, true);
    rl_timer_disarm(errands->timer);
    while (errands->is_running)
        rl_loop_turn(errands->loop, 10);
}

void rl_errands_free(struct rl_errands **errands)
{
    struct rl_errands *e = *errands;
    if (!e)
        return;
    rl_errands_stop(e);
    rl_timer_free(&e->timer);
    free(e);
    *errands = NULL;
}
