/* state: the inventory as it was read, and what changes make of it. No I/O and no locks. */
#ifndef RL_AUTH_INVENTORY_STATE_H
#define RL_AUTH_INVENTORY_STATE_H

#include "db/changes.h"
#include "inventory/inventory.h"

struct rl_inventory_state {
    struct rl_inventory_view view;
    char *incarnation;
    char horizon[RL_HORIZON_BYTES];
    void *by_id, *by_class; /* trees (search.h) of the view's nodes and classes */
    size_t attached;        /* the nodes' holders in all */
};
/** Of a reading of all rows. */
struct rl_inventory_state *rl_inventory_state_create(const struct rl_changes *all);
void rl_inventory_state_free(struct rl_inventory_state **state);
/** Are these changes of the same tables, and of a later time than the state? */
bool rl_inventory_state_precedes(const struct rl_inventory_state *state,
                                 const struct rl_changes *changes);
/** Takes them over. False: something is gone that changes do not tell, or too much of what was
 * replaced is still kept; then all has to be read. */
bool rl_inventory_state_apply(struct rl_inventory_state *state, const struct rl_changes *changes);

#endif
