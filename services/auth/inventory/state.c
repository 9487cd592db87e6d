/* state: nodes by id and by place, classes by what is in them. What a change takes the place of is
 * freed; a class or a holder that nobody has any more stays until all is read again. */
#include "inventory/state.h"

#include "message.h"
#include "status/memory.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define CLASS_BYTES_MAX (1u << 20)
/* More that are unused: all is read again. */
#define UNUSED_MAX 1024
/* PostgreSQL compares numbers of transactions within half of their circle. */
#define HORIZON_SPAN (UINT64_C(1) << 30)

/* ---- classes ---- */

static int compare_classes(const void *a, const void *b)
{
    const struct rl_buf *x = &((const struct rl_node_class *)a)->packed;
    const struct rl_buf *y = &((const struct rl_node_class *)b)->packed;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return x->n ? memcmp(x->p, y->p, x->n) : 0;
}

static void free_class(struct rl_node_class *c)
{
    pb__node_class__free_unpacked(c->what, NULL);
    rl_buf_fini(&c->packed);
    free(c);
}

static struct rl_node_class *create_class(const struct rl_changed_row *row)
{
    struct rl_node_class *c = rl_alloc(sizeof *c);
    c->what = rl_message_create(&pb__node_class__descriptor);
    rl_message_text(&c->what->mode, row->mode);
    rl_message_text(&c->what->version, row->version);
    for (size_t i = 0; i < row->label_count; i++)
        rl_message_append(&c->what->labels, &c->what->n_labels,
                          rl_message_copy(&row->labels[i]->base));
    rl_buf_init(&c->packed, CLASS_BYTES_MAX);
    rl_message_pack(&c->what->base, &c->packed);
    return c;
}

/* A class that is too large to be told apart is no other's. */
static struct rl_node_class *class_of(struct rl_inventory_state *s,
                                      const struct rl_changed_row *row)
{
    struct rl_node_class *fresh = create_class(row);
    if (!fresh->packed.failed) {
        struct rl_node_class **slot = tsearch(fresh, &s->by_class, compare_classes);
        RL_NEED_MEMORY(slot, 0);
        if (*slot != fresh) {
            free_class(fresh);
            return *slot;
        }
    }
    fresh->number = s->view.class_count;
    rl_message_append(&s->view.classes, &s->view.class_count, fresh);
    return fresh;
}

/* ---- holders ---- */

static uint32_t holder_of(struct rl_inventory_view *view, const char *id)
{
    for (size_t i = 0; i < view->holder_count; i++)
        if (strcmp(view->holders[i].id, id) == 0)
            return (uint32_t)i;
    struct rl_node_holder *grown =
        reallocarray(view->holders, view->holder_count + 1, sizeof *grown);
    RL_NEED_MEMORY(grown, 0);
    view->holders = grown;
    grown[view->holder_count] = (struct rl_node_holder){.id = rl_strdup(id)};
    return (uint32_t)view->holder_count++;
}

static void take_leases(struct rl_inventory_view *view, const struct rl_changes *changes)
{
    for (size_t i = 0; i < view->holder_count; i++) {
        struct rl_node_holder *holder = &view->holders[i];
        holder->is_living = false;
        holder->last_seen_ns = 0;
        for (size_t k = 0; k < changes->lease_count; k++)
            if (strcmp(changes->leases[k].id, holder->id) == 0) {
                holder->is_living = changes->leases[k].is_online;
                holder->last_seen_ns = changes->leases[k].last_seen_ns;
            }
    }
}

bool rl_inventory_is_online(const struct rl_inventory_view *view, const struct rl_node *node)
{
    for (size_t i = 0; i < node->holder_count; i++)
        if (view->holders[node->holders[i]].is_living)
            return true;
    return false;
}

int64_t rl_inventory_last_seen_ns(const struct rl_inventory_view *view, const struct rl_node *node)
{
    int64_t last_ns = node->last_seen_ns;
    for (size_t i = 0; i < node->holder_count; i++) {
        const struct rl_node_holder *holder = &view->holders[node->holders[i]];
        if (holder->is_living)
            return view->now_ns;
        if (holder->last_seen_ns > last_ns)
            last_ns = holder->last_seen_ns;
    }
    return last_ns;
}

/* ---- nodes ---- */

int rl_inventory_compare(const struct rl_node *node, const char *name, const char *id)
{
    if (!*node->name != !*name)
        return *node->name ? -1 : 1;
    int by_name = strcmp(node->name, name);
    return by_name ? by_name : strcmp(node->id, id);
}

static int compare_places(const void *a, const void *b)
{
    const struct rl_node *other = *(struct rl_node *const *)b;
    return rl_inventory_compare(*(struct rl_node *const *)a, other->name, other->id);
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct rl_node *)a)->id, ((const struct rl_node *)b)->id);
}

static char *put_text(char **to, const char *text)
{
    char *at = *to;
    size_t n = strlen(text) + 1;
    memcpy(at, text, n);
    *to += n;
    return at;
}

static struct rl_node *create_node(struct rl_inventory_state *s, const struct rl_changed_row *row)
{
    Pb__NodeRow packed = PB__NODE_ROW__INIT;
    packed.id = row->id;
    packed.name = row->name;
    packed.hostname = row->hostname;
    size_t packed_bytes = pb__node_row__get_packed_size(&packed);
    size_t holder_bytes = row->holder_count * sizeof(uint32_t);
    size_t text_bytes = strlen(row->id) + strlen(row->name) + strlen(row->hostname) + 3;
    struct rl_node *node = rl_alloc(sizeof *node + holder_bytes + text_bytes + packed_bytes);
    uint32_t *holders = (uint32_t *)(node + 1);
    char *at = (char *)(holders + row->holder_count);
    node->id = put_text(&at, row->id);
    node->name = put_text(&at, row->name);
    node->hostname = put_text(&at, row->hostname);
    node->row = RL_SPAN(at, pb__node_row__pack(&packed, (uint8_t *)at));
    node->node_class = class_of(s, row);
    node->holders = holders;
    node->holder_count = row->holder_count;
    for (size_t i = 0; i < row->holder_count; i++)
        holders[i] = holder_of(&s->view, row->holders[i]);
    node->last_seen_ns = row->last_seen_ns;
    node->is_node = row->is_node;
    return node;
}

/* The order changes when one comes or has another name. */
static bool take_row(struct rl_inventory_state *s, const struct rl_changed_row *row)
{
    struct rl_node *fresh = create_node(s, row);
    struct rl_node **slot = tsearch(fresh, &s->by_id, compare_ids);
    RL_NEED_MEMORY(slot, 0);
    struct rl_node *before = *slot;
    s->attached += fresh->holder_count;
    if (before == fresh) {
        s->view.nodes[s->view.node_count++] = fresh;
        return true;
    }
    bool has_moved = strcmp(before->name, fresh->name) != 0;
    s->attached -= before->holder_count;
    fresh->place = before->place;
    s->view.nodes[fresh->place] = *slot = fresh;
    free(before);
    return has_moved;
}

static void sort_nodes(struct rl_inventory_view *view)
{
    qsort(view->nodes, view->node_count, sizeof(struct rl_node *), compare_places);
    for (size_t i = 0; i < view->node_count; i++)
        view->nodes[i]->place = i;
}

static void take_rows(struct rl_inventory_state *s, const struct rl_changes *changes)
{
    bool has_moved = false;
    if (changes->row_count) {
        size_t most = s->view.node_count + changes->row_count;
        struct rl_node **grown = reallocarray(s->view.nodes, most, sizeof(struct rl_node *));
        RL_NEED_MEMORY(grown, 0);
        s->view.nodes = grown;
    }
    for (size_t i = 0; i < changes->row_count; i++)
        has_moved |= take_row(s, &changes->rows[i]);
    if (has_moved)
        sort_nodes(&s->view);
    memcpy(s->horizon, changes->horizon, sizeof s->horizon);
    s->view.now_ns = changes->now_ns;
    take_leases(&s->view, changes);
}

/* ---- the whole ---- */

struct rl_inventory_state *rl_inventory_state_create(const struct rl_changes *all)
{
    struct rl_inventory_state *s = rl_alloc(sizeof *s);
    s->incarnation = rl_strdup(all->incarnation);
    take_rows(s, all);
    return s;
}

static void keep(void *item)
{
    (void)item; /* the view has it */
}

void rl_inventory_state_free(struct rl_inventory_state **state)
{
    struct rl_inventory_state *s = *state;
    if (!s)
        return;
    tdestroy(s->by_id, keep);
    tdestroy(s->by_class, keep);
    for (size_t i = 0; i < s->view.node_count; i++)
        free(s->view.nodes[i]);
    for (size_t i = 0; i < s->view.class_count; i++)
        free_class(s->view.classes[i]);
    for (size_t i = 0; i < s->view.holder_count; i++)
        free(s->view.holders[i].id);
    free(s->view.nodes);
    free(s->view.classes);
    free(s->view.holders);
    free(s->incarnation);
    free(s);
    *state = NULL;
}

static uint64_t number_of(const char *horizon)
{
    return strtoull(horizon, NULL, 10);
}

bool rl_inventory_state_precedes(const struct rl_inventory_state *s,
                                 const struct rl_changes *changes)
{
    uint64_t before = number_of(s->horizon), now = number_of(changes->horizon);
    return strcmp(s->incarnation, changes->incarnation) == 0 && before > 0 && now >= before &&
           now - before < HORIZON_SPAN;
}

bool rl_inventory_state_apply(struct rl_inventory_state *s, const struct rl_changes *changes)
{
    take_rows(s, changes);
    const struct rl_inventory_view *view = &s->view;
    bool is_tidy = view->class_count <= view->node_count + UNUSED_MAX &&
                   view->holder_count <= changes->lease_count + UNUSED_MAX;
    return is_tidy && view->node_count == changes->instances && s->attached == changes->attached;
}
