/* What auth signs over the audit log, and what it does not. */
#include "record/checkpoints.h"

#include "admin/admin.h"
#include "clock/clock.h"
#include "db/checkpoints.h"
#include "fixture.h"
#include "ledger/ledger.h"

#include <stdlib.h>
#include <string.h>

#define REPLICA "0190c0de-0000-7000-8000-0000000000b1"
#define OTHER "0190c0de-0000-7000-8000-0000000000b2"

static struct rl_buf secret;
static struct party admin, alice;
static uint8_t hash[RL_LEDGER_HASH_BYTES];

static void set_up(void)
{
    char code[7];
    INIT_REPLY(login, LoginResponse, login_response);
    fixture_set_up();
    party_admin(&admin);
    party_init(&alice);
    fixture_add_user("alice", "access", "root", &secret);
    fixture_code(&secret, 0, code);
    ok(fixture_login(&alice, "alice", fixture_password, code, &login));
    fixture_clear(&login.base);
}

static void tear_down(void)
{
    party_fini(&admin);
    party_fini(&alice);
    rl_buf_fini(&secret);
    fixture_tear_down();
}

struct adding {
    uint64_t number;
    Pb__SignedCheckpoint *made;
};

static rl_code add(struct rl_db *db, void *context, struct rl_error *why)
{
    const struct adding *a = context;
    return rl_checkpoints_add(db, a->number, a->made, why);
}

/* A checkpoint that says: this chain has so many. */
static void add_checkpoint(uint64_t number, uint64_t sequence)
{
    Pb__ChainHead head = PB__CHAIN_HEAD__INIT, *heads[] = {&head};
    Pb__Checkpoint checkpoint = PB__CHECKPOINT__INIT;
    struct adding a = {number, NULL};
    struct rl_snapshot *snapshot = NULL;
    head.replica = rl_strdup(REPLICA);
    head.sequence = sequence;
    head.hash = (ProtobufCBinaryData){sizeof hash, hash};
    checkpoint.cluster = auth->cluster;
    checkpoint.number = number;
    checkpoint.time_ns = rl_clock_wall_ns();
    checkpoint.heads = heads;
    checkpoint.n_heads = 1;
    ok(rl_snapshots_current(auth->snapshots, &snapshot, &err));
    const struct rl_authority *signer = &snapshot->authorities->policy;
    ok(rl_checkpoint_sign(&checkpoint, signer->key, signer->key_id, &a.made, &err));
    ok(rl_store_transaction(auth->store, add, &a, &err));
    pb__signed_checkpoint__free_unpacked(a.made, NULL);
    rl_snapshot_unref(&snapshot);
    free(head.replica);
}

/* Was it signed? */
static bool sign(const char *replica, int64_t days_ago, uint64_t events, uint64_t first,
                 uint64_t last)
{
    Pb__Tombstone tombstone = PB__TOMBSTONE__INIT, *list[] = {&tombstone};
    INIT_REPLY(request, SignTombstonesRequest, sign_tombstones_request);
    INIT_REPLY(reply, SignTombstonesResponse, sign_tombstones_response);
    tombstone.cluster = auth->cluster;
    tombstone.replica = rl_strdup(replica);
    tombstone.day = rl_clock_wall_s() / 86400 - days_ago;
    tombstone.events = events;
    tombstone.first_sequence = first;
    tombstone.last_sequence = last;
    tombstone.prev_hash = tombstone.hash = (ProtobufCBinaryData){sizeof hash, hash};
    request.tombstones = list;
    request.n_tombstones = 1;
    ok(rl_control_sign_tombstones(auth, NULL, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_tombstones, 1);
    bool is_signed = reply.tombstones[0]->signature.len > 0;
    fixture_clear(&reply.base);
    free(tombstone.replica);
    return is_signed;
}

START_TEST(auth_signs_only_for_days_that_are_over_old_and_proven)
{
    ck_assert(!sign(REPLICA, 800, 5, 1, 5)); /* there is no checkpoint */
    add_checkpoint(1, 5);
    ck_assert(sign(REPLICA, 800, 5, 1, 5));
    ck_assert(!sign(REPLICA, 800, 6, 1, 6)); /* that event came after it */
    ck_assert(!sign(OTHER, 800, 5, 1, 5));   /* no chain of that name */
    ck_assert(!sign(REPLICA, 800, 4, 1, 5)); /* one is missing */
    ck_assert(!sign(REPLICA, 800, 5, 0, 4));
    ck_assert(!sign(REPLICA, 800, 5, 5, 1));
    ck_assert(!sign(REPLICA, 0, 5, 1, 5)); /* today */
    ck_assert(!sign(REPLICA, 1, 5, 1, 5)); /* over, and no day old */
    ck_assert(!sign(REPLICA, -1, 5, 1, 5));
}
END_TEST

START_TEST(checkpoints_are_listed_for_who_may_see_all_events)
{
    INIT_REPLY(request, ListCheckpointsRequest, list_checkpoints_request);
    INIT_REPLY(reply, ListCheckpointsResponse, list_checkpoints_response);
    for (uint64_t i = 1; i <= 3; i++)
        add_checkpoint(i, i);
    request.after = 1;
    ok(rl_admin_list_checkpoints(auth, &admin.peer, &request, &reply, &err));
    ck_assert_uint_eq(reply.n_checkpoints, 2);
    fixture_clear(&reply.base);
    refused(rl_admin_list_checkpoints(auth, &alice.peer, &request, &reply, &err), RL_E_DENIED);
    fixture_clear(&reply.base);
}
END_TEST

START_TEST(a_number_is_taken_once)
{
    add_checkpoint(1, 1);
    struct adding again = {1, rl_alloc(sizeof *again.made)};
    pb__signed_checkpoint__init(again.made);
    ck_assert_int_ne(rl_store_transaction(auth->store, add, &again, &err), RL_OK);
    pb__signed_checkpoint__free_unpacked(again.made, NULL);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM checkpoints"), 1);
}
END_TEST

/* ---- a lock on oneself: who can not take it back has to mean it ---- */

static rl_code lock_user(const char *user, int64_t ttl_s, size_t *warnings)
{
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT;
    Pb__Resource resource = PB__RESOURCE__INIT;
    INIT_REPLY(request, PutResourceRequest, put_resource_request);
    INIT_REPLY(reply, PutResourceResponse, put_resource_response);
    metadata.expires_ns = ttl_s ? rl_clock_wall_ns() + ttl_s * 1000000000 : 0;
    spec.target_kind = rl_strdup("user");
    spec.target_name = rl_strdup(user);
    lock.metadata = &metadata;
    lock.spec = &spec;
    resource.kind_case = PB__RESOURCE__KIND_LOCK;
    resource.lock = &lock;
    request.resource = &resource;
    rl_code rc = rl_admin_put(auth, &admin.peer, &request, &reply, &err);
    *warnings = reply.n_warnings;
    fixture_clear(&reply.base);
    free(spec.target_kind);
    free(spec.target_name);
    return rc;
}

START_TEST(a_lock_on_oneself_needs_an_end)
{
    size_t warnings;
    refused(lock_user("admin", 0, &warnings), RL_E_PRECONDITION);
    ck_assert_msg(strstr(err.message, "you yourself") != NULL, "%s", err.message);
    ck_assert_int_eq(fixture_count("SELECT count(*) FROM locks"), 0);
    ok(lock_user("alice", 0, &warnings));
    ck_assert_uint_eq(warnings, 0);
    ok(lock_user("admin", 60, &warnings));
    ck_assert_uint_eq(warnings, 1);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("checkpoints");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, auth_signs_only_for_days_that_are_over_old_and_proven);
    tcase_add_test(tcase, checkpoints_are_listed_for_who_may_see_all_events);
    tcase_add_test(tcase, a_number_is_taken_once);
    tcase_add_test(tcase, a_lock_on_oneself_needs_an_end);
    return fixture_main("checkpoints", tcase);
}
