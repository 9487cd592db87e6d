/* listing: what a user may see and do on a node hangs on the node's labels and on nothing else of
 * it (authz.h), so it is decided once for each class of nodes in each list, by the roles of that
 * moment. Nothing of it is kept. The messages borrow from the inventory and are packed before it is
 * left.
 */
#include "people/listing.h"

#include "inventory/inventory.h"
#include "people/visible.h"

#include <stdlib.h>
#include <string.h>

#define NOT_TOLD UINT32_MAX

/* What one user has of the nodes of one class. */
struct access {
    bool is_decided, is_visible;
    bool has_logins; /* they were asked for */
    char **logins;
    size_t login_count;
    uint32_t told_as; /* its number in this reply, or NOT_TOLD */
};

struct listing {
    const struct rl_caller *caller;
    const Pb__ListNodesRequest *request;
    const struct rl_inventory_view *view;
    struct access *accesses; /* by the class's number */
};

static void open_listing(struct listing *l)
{
    l->accesses = rl_alloc_array(l->view->class_count, sizeof *l->accesses);
    for (size_t i = 0; i < l->view->class_count; i++)
        l->accesses[i].told_as = NOT_TOLD;
}

static void close_listing(struct listing *l)
{
    for (size_t i = 0; i < l->view->class_count; i++) {
        for (size_t k = 0; k < l->accesses[i].login_count; k++)
            free(l->accesses[i].logins[k]);
        free(l->accesses[i].logins);
    }
    free(l->accesses);
}

/* ---- what is seen ---- */

static struct rl_authz_target target_of(const struct rl_node_class *c)
{
    return (struct rl_authz_target){
        .id = "",
        .name = "",
        .label_count = c->what->n_labels,
        .labels = c->what->labels,
    };
}

static bool is_visible(struct listing *l, const struct rl_node *node)
{
    struct access *access = &l->accesses[node->node_class->number];
    if (!access->is_decided) {
        struct rl_authz_target target = target_of(node->node_class);
        access->is_visible = rl_authz_sees_node(&l->caller->subject, &target);
        access->is_decided = true;
    }
    return node->is_node && access->is_visible;
}

static struct access *with_logins(struct listing *l, const struct rl_node *node)
{
    struct access *access = &l->accesses[node->node_class->number];
    if (!access->has_logins) {
        struct rl_authz_target target = target_of(node->node_class);
        rl_authz_node_logins(&l->caller->subject, &target, &access->logins, &access->login_count);
        access->has_logins = true;
    }
    return access;
}

static bool contains(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

static bool is_found(const struct rl_node *node, const char *search)
{
    const Pb__NodeClass *what = node->node_class->what;
    if (contains(node->name, search) || contains(node->hostname, search) ||
        contains(node->id, search))
        return true;
    for (size_t i = 0; i < what->n_labels; i++)
        if (contains(what->labels[i]->key, search) || contains(what->labels[i]->value, search))
            return true;
    return false;
}

static bool has_label(const struct rl_node *node, const char *key, const char *value)
{
    const Pb__NodeClass *what = node->node_class->what;
    return rl_labels_have(what->labels, what->n_labels, key, value);
}

static bool is_wanted(const struct rl_node *node, const Pb__ListNodesRequest *request)
{
    for (size_t i = 0; i < request->n_labels; i++)
        if (!has_label(node, request->labels[i]->key, request->labels[i]->value))
            return false;
    return !*request->search || is_found(node, request->search);
}

static bool is_listed(struct listing *l, const struct rl_node *node)
{
    return is_visible(l, node) && is_wanted(node, l->request);
}

/* The first behind the place that the request names. */
static size_t first_node(const struct listing *l)
{
    const Pb__NodePlace *after = l->request->after;
    size_t low = 0, high = after ? l->view->node_count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rl_inventory_compare(l->view->nodes[middle], after->name, after->id) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- by rows ---- */

static char *lend(const char *text)
{
    return (char *)(uintptr_t)text; /* a packed message's: it is only read */
}

/* The rows go into the answer as they come, and behind them what they refer to. */
struct page {
    struct rl_buf *out;
    size_t begins; /* where, in `out` */
    size_t class_bytes;
    Pb__ListNodesResponse rest;
    Pb__NodeClass *classes, **class_list;
    Pb__NodePlace next;
    const struct rl_node *last;
};

static uint32_t tell_class(struct listing *l, struct page *page, const struct rl_node *node)
{
    struct access *access = with_logins(l, node);
    if (access->told_as != NOT_TOLD)
        return access->told_as;
    access->told_as = (uint32_t)page->rest.n_classes;
    Pb__NodeClass *c = &page->classes[page->rest.n_classes];
    *c = *node->node_class->what;
    c->logins = access->logins;
    c->n_logins = access->login_count;
    page->class_list[page->rest.n_classes++] = c;
    page->class_bytes += pb__node_class__get_packed_size(c);
    return access->told_as;
}

static void put_varint(struct rl_buf *to, uint64_t number)
{
    for (; number > 0x7F; number >>= 7)
        rl_buf_put_u8(to, (uint8_t)(number | 0x80));
    rl_buf_put_u8(to, (uint8_t)number);
}

#define ROWS_TAG (2 << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
#define ROW_BYTES 128      /* of one, about */
#define STATE_BYTES_MAX 32 /* a class, whether it is online, when it was seen: packed */

/* A message is what its parts are one behind the other: what of a row does not change from list to
 * list is packed already. */
static void tell_row(struct listing *l, struct page *page, const struct rl_node *node)
{
    uint8_t state[STATE_BYTES_MAX];
    Pb__NodeRow row = PB__NODE_ROW__INIT;
    row.node_class = tell_class(l, page, node);
    row.is_online = rl_inventory_is_online(l->view, node);
    row.last_seen_ns = rl_inventory_last_seen_ns(l->view, node);
    size_t n = pb__node_row__pack(&row, state);
    put_varint(page->out, ROWS_TAG);
    put_varint(page->out, node->row.n + n);
    rl_buf_put_span(page->out, node->row);
    rl_buf_put(page->out, state, n);
    page->last = node;
}

static rl_code pack(const ProtobufCMessage *reply, struct rl_buf *out, struct rl_error *err)
{
    rl_message_pack(reply, out);
    return out->failed ? rl_fail(err, RL_E_EXHAUSTED,
                                 "the list is larger than a message; ask for less with --search or "
                                 "labels")
                       : RL_OK;
}

static void tell_next(struct page *page)
{
    page->next.name = lend(page->last->name);
    page->next.id = lend(page->last->id);
    page->rest.next = &page->next;
}

static rl_code pack_rows(struct listing *l, struct rl_buf *out, struct rl_error *err)
{
    struct page page = {
        .out = out,
        .begins = out->n,
        .rest = PB__LIST_NODES_RESPONSE__INIT,
        .classes = rl_alloc_array(l->view->class_count, sizeof *page.classes),
        .class_list = rl_alloc_array(l->view->class_count, sizeof *page.class_list),
        .next = PB__NODE_PLACE__INIT,
    };
    page.rest.classes = page.class_list;
    if (l->view->node_count < RL_LISTING_PAGE_BYTES / ROW_BYTES)
        (void)rl_buf_reserve(out, l->view->node_count * ROW_BYTES);
    for (size_t i = first_node(l); i < l->view->node_count && !page.rest.next; i++) {
        if (!is_listed(l, l->view->nodes[i]))
            continue;
        if (!page.last || out->n - page.begins + page.class_bytes < RL_LISTING_PAGE_BYTES)
            tell_row(l, &page, l->view->nodes[i]);
        else
            tell_next(&page);
    }
    rl_code rc = pack(&page.rest.base, out, err);
    free(page.classes);
    free(page.class_list);
    return rc;
}

/* ---- by nodes: for the version before ---- */

struct shown_node {
    Pb__VisibleNode visible;
    Pb__Node node;
    Pb__Metadata metadata;
    Pb__NodeSpec spec;
};

static char node_kind[] = "node";
static char *node_kinds[] = {node_kind};

/* Where a node is reached, and through whom, is not a user's business. */
static void show_node(struct listing *l, const struct rl_node *node, struct shown_node *shown)
{
    const Pb__NodeClass *what = node->node_class->what;
    const struct access *access = with_logins(l, node);
    pb__visible_node__init(&shown->visible);
    pb__node__init(&shown->node);
    pb__metadata__init(&shown->metadata);
    pb__node_spec__init(&shown->spec);
    shown->visible.node = &shown->node;
    shown->visible.logins = access->logins;
    shown->visible.n_logins = access->login_count;
    shown->node.metadata = &shown->metadata;
    shown->node.spec = &shown->spec;
    shown->metadata.name = lend(node->id);
    shown->metadata.labels = what->labels;
    shown->metadata.n_labels = what->n_labels;
    shown->spec.name = lend(node->name);
    shown->spec.hostname = lend(node->hostname);
    shown->spec.mode = what->mode;
    shown->spec.version = what->version;
    shown->spec.status = lend(rl_inventory_is_online(l->view, node) ? "online" : "offline");
    shown->spec.last_seen_ns = rl_inventory_last_seen_ns(l->view, node);
    shown->spec.kinds = node_kinds;
    shown->spec.n_kinds = 1;
}

static rl_code pack_nodes(struct listing *l, struct rl_buf *out, struct rl_error *err)
{
    Pb__ListNodesResponse reply = PB__LIST_NODES_RESPONSE__INIT;
    struct shown_node *shown = rl_alloc_array(l->view->node_count, sizeof *shown);
    reply.nodes = rl_alloc_array(l->view->node_count, sizeof *reply.nodes);
    for (size_t i = 0; i < l->view->node_count; i++)
        if (is_listed(l, l->view->nodes[i])) {
            show_node(l, l->view->nodes[i], &shown[reply.n_nodes]);
            reply.nodes[reply.n_nodes] = &shown[reply.n_nodes].visible;
            reply.n_nodes++;
        }
    rl_code rc = pack(&reply.base, out, err);
    free(reply.nodes);
    free(shown);
    return rc;
}

/* ---- the questions ---- */

rl_code rl_listing_pack(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__ListNodesRequest *request, struct rl_buf *out,
                        struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    struct listing l = {.request = request};
    rl_code rc = rl_caller_of_peer(auth, peer, &caller, err);
    if (rc == RL_OK)
        rc = rl_inventory_enter(auth->inventory, &l.view, err);
    if (rc == RL_OK) {
        l.caller = caller;
        open_listing(&l);
        rc = request->in_rows ? pack_rows(&l, out, err) : pack_nodes(&l, out, err);
        close_listing(&l);
        rl_inventory_leave(auth->inventory);
    }
    rl_caller_close(&caller);
    return rc;
}

rl_code rl_listing_find(struct rl_auth *auth, const struct rl_caller *caller, const char *key,
                        const char *value, char ***names, size_t *count, struct rl_error *err)
{
    struct listing l = {.caller = caller};
    rl_code rc = rl_inventory_enter(auth->inventory, &l.view, err);
    if (rc != RL_OK)
        return rc;
    open_listing(&l);
    for (size_t i = 0; i < l.view->node_count; i++) {
        const struct rl_node *node = l.view->nodes[i];
        if (is_visible(&l, node) && has_label(node, key, value))
            rl_message_append(names, count, rl_strdup(*node->name ? node->name : node->id));
    }
    close_listing(&l);
    rl_inventory_leave(auth->inventory);
    return RL_OK;
}
