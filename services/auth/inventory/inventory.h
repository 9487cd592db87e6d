/* inventory: all nodes in memory, so that a list of thousands costs neither PostgreSQL nor auth the
 * reading of each. It is never older than the question: whoever enters has what changed since the
 * last time asked of the database first. So any number of auth replicas, and whoever writes past
 * them, are seen alike. docs/decisions/0026.
 */
#ifndef RL_AUTH_INVENTORY_H
#define RL_AUTH_INVENTORY_H

#include "remoteler/v1/auth.pb-c.h"
#include "store/store.h"

/** What many nodes have in common. */
struct rl_node_class {
    Pb__NodeClass *what; /* labels, mode and version; no logins */
    struct rl_buf packed;
    size_t number; /* its place among the classes */
};

/** In one piece of memory with what it points to: a list walks over all of them. */
struct rl_node {
    const char *id, *name /* "" none */, *hostname;
    struct rl_span row; /* these three as a packed NodeRow */
    const struct rl_node_class *node_class;
    const uint32_t *holders; /* places among the holders */
    size_t holder_count;
    int64_t last_seen_ns;
    size_t place; /* in the view */
    bool is_node; /* else it is something that joined, and not listed */
};

/** A broker, or an auth that direct nodes follow. */
struct rl_node_holder {
    char *id;
    bool is_living;
    int64_t last_seen_ns;
};

/** As of one moment. */
struct rl_inventory_view {
    struct rl_node **nodes; /* by name, as bytes; those without one last, by id */
    struct rl_node_class **classes;
    struct rl_node_holder *holders;
    size_t node_count, class_count, holder_count;
    int64_t now_ns; /* the database's clock */
};

struct rl_inventory;
/** The store is borrowed, and lives longer. Reads nothing yet. */
struct rl_inventory *rl_inventory_create(struct rl_store *store);
void rl_inventory_free(struct rl_inventory **inventory);
/** Blocks for the database. On success *out is borrowed until rl_inventory_leave(), which has to
 * come soon: changes wait for it. Errors: the store's. Threads: any. */
rl_code rl_inventory_enter(struct rl_inventory *inventory, const struct rl_inventory_view **out,
                           struct rl_error *err);
void rl_inventory_leave(struct rl_inventory *inventory);
/** Is a living holder there, and when was it last seen? */
bool rl_inventory_is_online(const struct rl_inventory_view *view, const struct rl_node *node);
int64_t rl_inventory_last_seen_ns(const struct rl_inventory_view *view, const struct rl_node *node);
/** In the order of the list: below, at (0) or above. */
int rl_inventory_compare(const struct rl_node *node, const char *name, const char *id);
/** How often everything was read, and not what had changed: for tests. */
size_t rl_inventory_whole_reads(const struct rl_inventory *inventory);

#endif
