#include "internal.h"

#include "enrol/enrol.h"

#include <stdlib.h>
#include <string.h>

/* ---- one root ---- */

/* The root's services, whom we call and whose proxies' tickets count, and its users, whose
 * certificates come in them. It is nobody's trust but this. */
static rl_code make_trust(const Pb__PeerCluster *peer, struct rl_trust **out, struct rl_error *err)
{
    if (!peer->trust || strcmp(peer->trust->cluster, peer->name) != 0)
        return rl_fail(err, RL_E_INVAL, "auth says no authorities of cluster %s", peer->name);
    return rl_trust_from_bundle(peer->trust, out, err);
}

static void free_root(struct root **at)
{
    struct root *root = *at;
    *at = root->next;
    root->is_gone = true;
    for (size_t i = 0; i < ROOT_LINKS; i++)
        link_close(&root->links[i]);
    services_drop(root);
    root_policy_fini(root);
    root_report_fini(root);
    rl_timer_free(&root->arrange);
    rl_timer_free(&root->goodbye);
    rl_ticket_seen_free(&root->seen);
    rl_trust_unref(&root->trust);
    root_count_attached(root->roots);
    free(root->name);
    free(root->proxy);
    free(root);
}

static void on_goodbye(void *context)
{
    const struct root *root = context;
    struct root **at = &root->roots->first;
    while (*at != root)
        at = &(*at)->next;
    free_root(at);
}

static void leave_root(struct root *root)
{
    if (root->is_gone)
        return;
    rl_log_info("a root is not to be attached to any more", RL_TEXT("cluster", root->name));
    root->is_gone = true;
    for (size_t i = 0; i < ROOT_LINKS; i++) {
        link_retire(&root->links[i]);
        errands_drop(&root->links[i]);
    }
    rl_timer_arm(root->goodbye, ROOT_GOODBYE_MS);
}

static struct root *add_root(struct roots *roots, const char *name)
{
    struct rl_loop *loop = roots->broker->config.loop;
    struct root *root = rl_alloc(sizeof *root);
    root->roots = roots;
    root->name = rl_strdup(name);
    root->proxy = rl_strdup("");
    root->seen = rl_ticket_seen_create(ROOT_TICKETS_SEEN_MAX);
    root->arrange = rl_timer_create(loop, links_arrange, root);
    root->goodbye = rl_timer_create(loop, on_goodbye, root);
    for (size_t i = 0; i < ROOT_LINKS; i++)
        link_init(&root->links[i], root);
    root_policy_init(root);
    root_report_init(root);
    root->next = roots->first;
    roots->first = root;
    rl_log_info("a root to attach to", RL_TEXT("cluster", name));
    return root;
}

static void take_trust(struct root *root, const Pb__PeerCluster *peer)
{
    uint8_t hash[32];
    struct rl_error err;
    struct rl_trust *trust = NULL;
    if (peer->trust)
        rl_trust_bundle_hash(peer->trust, hash);
    if (root->trust && peer->trust && memcmp(hash, root->trust_sha256, sizeof hash) == 0)
        return;
    if (make_trust(peer, &trust, &err) != RL_OK) {
        rl_log_error("a root's authorities can not be used", RL_TEXT("cluster", root->name),
                     RL_TEXT("error", err.message));
        return;
    }
    rl_trust_unref(&root->trust);
    root->trust = trust;
    memcpy(root->trust_sha256, hash, sizeof hash);
    for (size_t i = 0; i < ROOT_LINKS; i++)
        link_renew(&root->links[i]);
}

static void take_proxy(struct root *root, const char *proxy)
{
    if (strcmp(root->proxy, proxy) == 0)
        return;
    free(root->proxy);
    root->proxy = rl_strdup(proxy);
    for (size_t i = 0; i < ROOT_LINKS; i++)
        link_close(&root->links[i]); /* opened again by links_arrange() */
}

static void take_root(struct roots *roots, const Pb__PeerCluster *peer)
{
    struct root **at = &roots->first;
    while (*at && strcmp((*at)->name, peer->name) != 0)
        at = &(*at)->next;
    if (*at && (*at)->is_gone) /* and is wanted again */
        free_root(at);
    struct root *root = *at && strcmp((*at)->name, peer->name) == 0 ? *at : NULL;
    if (!root)
        root = add_root(roots, peer->name);
    root->is_listed = true;
    take_trust(root, peer);
    take_proxy(root, peer->proxy);
    root_policy_held(root, peer);
    rl_timer_arm(root->arrange, 0);
}

/* ---- all ---- */

void root_count_attached(const struct roots *roots)
{
    int64_t n = 0;
    for (const struct root *root = roots->first; root; root = root->next)
        for (size_t i = 0; i < ROOT_LINKS; i++)
            n += root->links[i].is_attached;
    rl_metric_set(roots->attached_gauge, n);
}

static void make_metrics(struct roots *roots)
{
    struct rl_health *h = roots->broker->config.health;
    if (!h)
        return;
    roots->attached_gauge = rl_health_gauge(h, "remoteler_broker_root_attachments",
                                            "Connections to brokers of root clusters.", NULL);
    roots->opens_ok = rl_health_counter(h, "remoteler_broker_root_opens_total",
                                        "What roots asked for, by outcome.", "outcome=\"joined\"");
    roots->opens_failed =
        rl_health_counter(h, "remoteler_broker_root_opens_total",
                          "What roots asked for, by outcome.", "outcome=\"refused\"");
}

struct roots *roots_create(struct broker *broker)
{
    struct roots *roots = rl_alloc(sizeof *roots);
    roots->broker = broker;
    roots->sweep = rl_timer_create(broker->config.loop, ways_sweep, roots);
    make_metrics(roots);
    return roots;
}

void roots_free(struct roots **holder)
{
    struct roots *roots = *holder;
    if (!roots)
        return;
    *holder = NULL;
    while (roots->first)
        free_root(&roots->first);
    ways_close(roots);
    rl_splice_pipes_close(&roots->pipes);
    rl_timer_free(&roots->sweep);
    free(roots);
}

void roots_changed(struct roots *roots)
{
    const Pb__ControlUpdate *state = rl_control_state(roots->broker->control);
    if (!roots->broker->own || roots->is_leaving)
        return;
    for (struct root *root = roots->first; root; root = root->next)
        root->is_listed = false;
    for (size_t i = 0; i < state->n_clusters; i++)
        if (state->clusters[i]->is_root)
            take_root(roots, state->clusters[i]);
    for (struct root *root = roots->first; root; root = root->next)
        if (!root->is_listed)
            leave_root(root);
}

void roots_renewed(struct roots *roots)
{
    for (struct root *root = roots->first; root; root = root->next)
        for (size_t i = 0; i < ROOT_LINKS; i++)
            link_renew(&root->links[i]);
    ways_renewed(roots);
    if (!roots->first && roots->broker->control)
        roots_changed(roots); /* it had no certificate when auth said so */
}

/* Streams that can go on elsewhere have been parted; the root sends nobody here any more. */
void roots_leave(struct roots *roots)
{
    roots->is_leaving = true;
    for (struct root *root = roots->first; root; root = root->next)
        for (size_t i = 0; i < ROOT_LINKS; i++)
            link_retire(&root->links[i]);
}
