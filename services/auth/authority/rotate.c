#include "authority/rotate.h"

#include "db/cluster.h"
#include "db/rotations.h"

#include <stdlib.h>
#include <string.h>

#define SPREAD_S_MAX 86400
#define STEPS 3 /* of a grace period: one for each phase that is waited in */

static const char *const kinds[RL_ROTATION_KINDS] = {"host", "user"};

uint64_t rl_rotation_spread_s(const Pb__Rotation *rotation)
{
    uint64_t spread_s = rotation->grace_s / STEPS / 2;
    return spread_s < 1 ? 1 : spread_s > SPREAD_S_MAX ? SPREAD_S_MAX : spread_s;
}

/* ---- the phases ---- */

static bool is(const char *text, const char *word)
{
    return strcmp(text, word) == 0;
}

/* What comes of itself. */
static const char *next_phase(const char *phase)
{
    static const char *const order[][2] = {{"standby", "init"},
                                           {"init", "update_clients"},
                                           {"update_clients", "update_servers"},
                                           {"update_servers", "standby"},
                                           {"rollback", "standby"}};
    for (size_t i = 0; i < RL_COUNT(order); i++)
        if (is(phase, order[i][0]))
            return order[i][1];
    return "";
}

static bool may_follow(const char *from, const char *to)
{
    bool is_under_way = !is(from, "standby") && !is(from, "rollback");
    return is(next_phase(from), to) || (is_under_way && is(to, "rollback"));
}

/* The phase in which the new key begins to sign for this kind. */
static const char *signing_phase(const char *kind)
{
    return is(kind, "user") ? "update_clients" : "update_servers";
}

static bool new_key_signs(const char *kind, const char *phase)
{
    return is(phase, "update_servers") || is(phase, signing_phase(kind));
}

/* ---- one step, in a transaction ---- */

struct rotating {
    struct rl_auth *auth;
    const Pb__RotateAuthoritiesRequest *request;
    int64_t now_ns;
    Pb__Rotation **list; /* what is under way, before and after */
    size_t count;
    char *due_kind, *due_phase;
};

static Pb__Rotation *find(const struct rotating *r, const char *kind)
{
    for (size_t i = 0; i < r->count; i++)
        if (is(r->list[i]->kind, kind))
            return r->list[i];
    return NULL;
}

static const char *phase_of(const struct rotating *r, const char *kind)
{
    const Pb__Rotation *rotation = find(r, kind);
    return rotation ? rotation->phase : "standby";
}

static rl_code exchange_keys(struct rl_db *db, const char *kind, struct rl_error *err)
{
    rl_code rc = rl_authorities_move(db, kind, "active", "retiring", err);
    return rc == RL_OK ? rl_authorities_move(db, kind, "standby", "active", err) : rc;
}

static rl_code exchange_back(struct rl_db *db, const char *kind, struct rl_error *err)
{
    rl_code rc = rl_authorities_move(db, kind, "active", "standby", err);
    if (rc == RL_OK)
        rc = rl_authorities_move(db, kind, "retiring", "active", err);
    return rc == RL_OK ? rl_authorities_move(db, kind, "standby", "retiring", err) : rc;
}

static rl_code finish(struct rl_db *db, const char *kind, struct rl_error *err)
{
    rl_code rc = is(kind, "host") ? rl_authorities_retire(db, kind, err)
                                  : rl_authorities_remove(db, kind, "retiring", err);
    return rc == RL_OK ? rl_rotations_delete(db, kind, err) : rc;
}

/* What the keys do in the new phase. */
static rl_code turn_keys(struct rl_db *db, const struct rotating *r, const char *kind,
                         const char *from, const char *to, struct rl_error *err)
{
    if (is(to, "init"))
        return rl_authorities_add_standby(db, r->auth->cluster, kind, r->auth->wrap, r->now_ns,
                                          err);
    if (is(to, "standby"))
        return finish(db, kind, err);
    if (is(to, "rollback"))
        return new_key_signs(kind, from) ? exchange_back(db, kind, err)
                                         : rl_authorities_remove(db, kind, "standby", err);
    return is(to, signing_phase(kind)) ? exchange_keys(db, kind, err) : RL_OK;
}

static int64_t next_time(const Pb__Rotation *rotation, int64_t now_ns)
{
    uint64_t wait_s =
        is(rotation->phase, "rollback") ? rotation->grace_s : rotation->grace_s / STEPS;
    return now_ns + (int64_t)wait_s * 1000000000;
}

static rl_code note_phase(struct rl_db *db, const struct rotating *r, const char *kind,
                          const char *to, bool is_manual, uint64_t grace_s, struct rl_error *err)
{
    const Pb__Rotation *before = find(r, kind);
    Pb__Rotation now = PB__ROTATION__INIT;
    char *its_kind = rl_strdup(kind), *phase = rl_strdup(to);
    now.kind = its_kind;
    now.phase = phase;
    now.is_manual = is_manual;
    now.grace_s = before ? before->grace_s : grace_s;
    now.started_ns = before ? before->started_ns : r->now_ns;
    now.next_ns = is_manual ? 0 : next_time(&now, r->now_ns);
    rl_code rc = rl_rotations_put(db, &now, err);
    free(its_kind);
    free(phase);
    return rc;
}

static rl_code step(struct rl_db *db, const struct rotating *r, const char *kind, const char *to,
                    bool is_manual, uint64_t grace_s, struct rl_error *err)
{
    const char *from = phase_of(r, kind);
    rl_code rc = turn_keys(db, r, kind, from, to, err);
    if (rc == RL_OK && !is(to, "standby"))
        rc = note_phase(db, r, kind, to, is_manual, grace_s, err);
    return rc;
}

static rl_code read_list(struct rl_db *db, struct rotating *r, struct rl_error *err)
{
    rl_rotations_free(&r->list, r->count);
    r->count = 0;
    return rl_rotations_list(db, &r->list, &r->count, err);
}

/* ---- on an administrator's word ---- */

static bool is_asked_for(const struct rotating *r, const char *kind, bool begins)
{
    const Pb__RotateAuthoritiesRequest *q = r->request;
    for (size_t i = 0; i < q->n_kinds; i++)
        if (is(q->kinds[i], kind))
            return true;
    /* Without a kind a rotation begins with all, and goes on with those that are under way. */
    return q->n_kinds == 0 && (begins || find(r, kind));
}

static rl_code check_step(const struct rotating *r, const char *kind, const char *to,
                          struct rl_error *err)
{
    const char *from = phase_of(r, kind);
    if (may_follow(from, to))
        return RL_OK;
    bool can_return = !is(from, "standby") && !is(from, "rollback");
    return rl_fail(err, RL_E_PRECONDITION,
                   "the %s authorities are in phase %s: %s%s may follow, not %s", kind, from,
                   next_phase(from), can_return ? " or rollback" : "", to);
}

static rl_code rotate_asked(struct rl_db *db, struct rotating *r, struct rl_error *err)
{
    const Pb__RotateAuthoritiesRequest *q = r->request;
    const char *to = *q->phase ? q->phase : "init";
    uint64_t grace_s = q->grace_s ? q->grace_s : RL_ROTATION_GRACE_S;
    size_t done = 0;
    for (size_t i = 0; i < RL_COUNT(kinds); i++) {
        if (!is_asked_for(r, kinds[i], is(to, "init")))
            continue;
        rl_code rc = check_step(r, kinds[i], to, err);
        if (rc == RL_OK)
            rc = step(db, r, kinds[i], to, *q->phase || q->is_manual, grace_s, err);
        if (rc != RL_OK)
            return rc;
        done++;
    }
    return done ? RL_OK
                : rl_fail(err, RL_E_PRECONDITION,
                          "no rotation is under way: begin one with --phase=init, or without a "
                          "phase");
}

static rl_code rotate(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rotating *r = context;
    rl_code rc = rl_revision_bump(db, NULL, err); /* also: one step at a time */
    if (rc == RL_OK)
        rc = rl_db_now(db, &r->now_ns, err);
    if (rc == RL_OK)
        rc = read_list(db, r, err);
    if (rc == RL_OK)
        rc = rotate_asked(db, r, err);
    return rc == RL_OK ? read_list(db, r, err) : rc;
}

static rl_code check_request(const Pb__RotateAuthoritiesRequest *q, struct rl_error *err)
{
    for (size_t i = 0; i < q->n_kinds; i++)
        if (!is(q->kinds[i], "user") && !is(q->kinds[i], "host"))
            return rl_fail(err, RL_E_INVAL,
                           "the authorities that rotate are user and host, not \"%.32s\"",
                           q->kinds[i]);
    if (*q->phase && !is(q->phase, "rollback") && !*next_phase(q->phase))
        return rl_fail(err, RL_E_INVAL,
                       "no phase is called \"%.32s\"; there are init, update_clients, "
                       "update_servers, standby and rollback",
                       q->phase);
    if (q->grace_s &&
        (q->grace_s < RL_ROTATION_GRACE_S_MIN || q->grace_s > RL_ROTATION_GRACE_S_MAX))
        return rl_fail(err, RL_E_INVAL, "a grace period is between %llu s and 366 days",
                       RL_ROTATION_GRACE_S_MIN);
    return RL_OK;
}

rl_code rl_rotate(struct rl_auth *auth, const Pb__RotateAuthoritiesRequest *request,
                  Pb__RotateAuthoritiesResponse *reply, struct rl_error *err)
{
    rl_code rc = check_request(request, err);
    if (rc != RL_OK)
        return rc;
    struct rotating r = {.auth = auth, .request = request};
    rc = rl_store_transaction(auth->store, rotate, &r, err);
    if (rc == RL_OK) {
        reply->rotations = r.list;
        reply->n_rotations = r.count;
        return RL_OK;
    }
    rl_rotations_free(&r.list, r.count);
    return rc;
}

/* ---- as time passes ---- */

static const Pb__Rotation *find_due(const struct rotating *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->list[i]->next_ns && r->list[i]->next_ns <= r->now_ns)
            return r->list[i];
    return NULL;
}

static rl_code go_on(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rotating *r = context;
    free(r->due_kind);
    free(r->due_phase);
    r->due_kind = r->due_phase = NULL;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_db_now(db, &r->now_ns, err);
    if (rc == RL_OK)
        rc = read_list(db, r, err);
    const Pb__Rotation *due = rc == RL_OK ? find_due(r) : NULL;
    if (!due)
        return rc; /* another replica was there first */
    r->due_kind = rl_strdup(due->kind);
    r->due_phase = rl_strdup(next_phase(due->phase));
    return step(db, r, r->due_kind, r->due_phase, false, 0, err);
}

static rl_code look(struct rl_db *db, void *context, struct rl_error *err)
{
    struct rotating *r = context;
    rl_code rc = rl_db_now(db, &r->now_ns, err);
    return rc == RL_OK ? read_list(db, r, err) : rc;
}

rl_code rl_rotate_due(struct rl_auth *auth, char **kind, char **phase, struct rl_error *err)
{
    struct rotating r = {.auth = auth};
    rl_code rc = rl_store_transaction(auth->store, look, &r, err);
    if (rc == RL_OK && find_due(&r))
        rc = rl_store_transaction(auth->store, go_on, &r, err);
    rl_rotations_free(&r.list, r.count);
    if (rc == RL_OK) {
        *kind = r.due_kind;
        *phase = r.due_phase;
        return RL_OK;
    }
    free(r.due_kind);
    free(r.due_phase);
    return rc;
}
