/* inventory: reading and taking over what changed. One thread at a time reads, outside the lock
 * that those who list share; whoever waited meanwhile takes that reading if it began after they
 * came. What can not be taken over as changes (rows that are gone, another database) is read whole.
 */
#include "inventory/inventory.h"

#include "db/changes.h"
#include "inventory/state.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct rl_inventory {
    struct rl_store *store;
    pthread_mutex_t reading;          /* one reads */
    pthread_rwlock_t lock;            /* of `state` */
    struct rl_inventory_state *state; /* NULL: nothing was read yet */
    atomic_uint_fast64_t begun;       /* readings */
    uint64_t taken;                   /* the last of them that was taken over */
    size_t whole_reads;
};

struct rl_inventory *rl_inventory_create(struct rl_store *store)
{
    struct rl_inventory *inventory = rl_alloc(sizeof *inventory);
    inventory->store = store;
    pthread_mutex_init(&inventory->reading, NULL);
    /* A stream of readers must not keep news out. */
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&inventory->lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    return inventory;
}

void rl_inventory_free(struct rl_inventory **inventory)
{
    struct rl_inventory *i = *inventory;
    if (!i)
        return;
    rl_inventory_state_free(&i->state);
    pthread_rwlock_destroy(&i->lock);
    pthread_mutex_destroy(&i->reading);
    free(i);
    *inventory = NULL;
}

size_t rl_inventory_whole_reads(const struct rl_inventory *inventory)
{
    return inventory->whole_reads;
}

/* ---- reading ---- */

struct reading {
    const char *since;
    struct rl_changes *changes;
};

static rl_code read_changes(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct reading *reading = context;
    return rl_changes_read(db, reading->since, reading->changes, err);
}

static rl_code read_since(struct rl_inventory *inventory, const char *since,
                          struct rl_changes *changes, struct rl_error *err)
{
    struct reading reading = {since, changes};
    return rl_store_transaction(inventory->store, read_changes, &reading, err);
}

static rl_code take_whole(struct rl_inventory *inventory, struct rl_error *err)
{
    struct rl_changes changes = {0};
    rl_code rc = read_since(inventory, NULL, &changes, err);
    if (rc == RL_OK) {
        struct rl_inventory_state *fresh = rl_inventory_state_create(&changes);
        pthread_rwlock_wrlock(&inventory->lock);
        struct rl_inventory_state *old = inventory->state;
        inventory->state = fresh;
        pthread_rwlock_unlock(&inventory->lock);
        rl_inventory_state_free(&old);
        inventory->whole_reads++;
    }
    rl_changes_fini(&changes);
    return rc;
}

/* *is_whole: the state is now what the database has. */
static rl_code take_changes(struct rl_inventory *inventory, bool *is_whole, struct rl_error *err)
{
    struct rl_changes changes = {0};
    rl_code rc = read_since(inventory, inventory->state->horizon, &changes, err);
    if (rc == RL_OK && rl_inventory_state_precedes(inventory->state, &changes)) {
        pthread_rwlock_wrlock(&inventory->lock);
        *is_whole = rl_inventory_state_apply(inventory->state, &changes);
        pthread_rwlock_unlock(&inventory->lock);
    }
    rl_changes_fini(&changes);
    return rc;
}

/* With `reading` held. */
static rl_code read(struct rl_inventory *inventory, struct rl_error *err)
{
    bool is_whole = false;
    uint64_t number = atomic_fetch_add(&inventory->begun, 1) + 1;
    rl_code rc = inventory->state ? take_changes(inventory, &is_whole, err) : RL_OK;
    if (rc == RL_OK && !is_whole)
        rc = take_whole(inventory, err);
    if (rc == RL_OK)
        inventory->taken = number;
    return rc;
}

rl_code rl_inventory_enter(struct rl_inventory *inventory, const struct rl_inventory_view **out,
                           struct rl_error *err)
{
    rl_code rc = RL_OK;
    uint64_t came = atomic_load(&inventory->begun);
    pthread_mutex_lock(&inventory->reading);
    if (inventory->taken <= came)
        rc = read(inventory, err);
    pthread_mutex_unlock(&inventory->reading);
    if (rc != RL_OK)
        return rc;
    pthread_rwlock_rdlock(&inventory->lock);
    *out = &inventory->state->view;
    return RL_OK;
}

void rl_inventory_leave(struct rl_inventory *inventory)
{
    pthread_rwlock_unlock(&inventory->lock);
}
