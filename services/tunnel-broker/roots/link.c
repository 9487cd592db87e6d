/* link: one connection to a root's broker, by way of the root's proxy. Of the two that a root gets,
 * each goes to another broker: one to whichever answers, the other to one that the first names.
 */
#include "internal.h"

#include "bytes/secret.h"

#include <stdlib.h>
#include <string.h>

#define ARRANGE_MS 3000        /* while something is missing it is looked at again */
#define NAMED_PATIENCE_MS 6000 /* for a broker that was named, and does not answer */

static struct link *partner_of(const struct link *link)
{
    return &link->root->links[link == &link->root->links[0]];
}

static void forget_others(struct link *link)
{
    for (size_t i = 0; i < link->other_count; i++)
        free(link->others[i]);
    free(link->others);
    link->others = NULL;
    link->other_count = 0;
}

static void note(struct link *link, bool is_attached)
{
    if (link->is_attached == is_attached)
        return;
    link->is_attached = is_attached;
    link->since_ms = rl_loop_now_ms(link->root->roots->broker->config.loop);
    root_count_attached(link->root->roots);
}

/* ---- what the line says ---- */

/* Two connections to one broker are one too many: it would end the other. */
static rl_code on_challenge(void *context, const Pb__Challenge *challenge, Pb__AgentMessage **out,
                            struct rl_error *err)
{
    struct link *link = context;
    if (strcmp(partner_of(link)->broker, challenge->broker_id) == 0)
        return rl_fail(err, RL_E_ABORTED, "there is a connection to this broker already");
    rl_code rc = root_hello(link->root, challenge, out, err);
    if (rc == RL_OK)
        snprintf(link->broker, sizeof link->broker, "%s", challenge->broker_id);
    return rc;
}

static void on_welcome(struct link *link, const Pb__Welcome *welcome)
{
    forget_others(link);
    link->others = rl_alloc_array(welcome->n_other_brokers + 1, sizeof *link->others);
    for (size_t i = 0; i < welcome->n_other_brokers; i++)
        if (rl_name_is_uuid(welcome->other_brokers[i])) /* it becomes a host's name */
            link->others[link->other_count++] = rl_strdup(welcome->other_brokers[i]);
    if (!link->is_attached)
        rl_log_info("attached to a root", RL_TEXT("cluster", link->root->name),
                    RL_TEXT("broker", link->broker),
                    RL_NUMBER("epoch", rl_uplink_epoch(link->line)));
    note(link, true);
    root_report(link->root, RL_OK, "");
    rl_timer_arm(link->root->arrange, 0);
}

static void on_said(void *context, const Pb__BrokerMessage *said)
{
    struct link *link = context;
    switch (said->body_case) {
    case PB__BROKER_MESSAGE__BODY_WELCOME:
        on_welcome(link, said->welcome);
        break;
    case PB__BROKER_MESSAGE__BODY_POLICY:
        if (!link->root->is_gone)
            root_policy_came(link->root, said->policy);
        break;
    case PB__BROKER_MESSAGE__BODY_OPEN:
        if (!link->root->is_gone)
            errand_begin(link, said->open);
        break;
    case PB__BROKER_MESSAGE__BODY_DRAIN:
        rl_log_info("a root asks us to come again", RL_TEXT("cluster", link->root->name),
                    RL_TEXT("reason", said->drain->reason),
                    RL_NUMBER("in_ms", rl_uplink_come_back_ms(said->drain->come_back_ms)));
        break;
    default: /* its statements are its agents' */
        break;
    }
}

/* Auth hears of it when there is no connection left, with the reason. */
static void lost(struct link *link, rl_code code, const char *message)
{
    note(link, false);
    link->broker[0] = '\0';
    if (!partner_of(link)->is_attached)
        root_report(link->root, code, message);
    rl_timer_arm(link->root->arrange, 0);
}

static void on_over(void *context, bool was_attached, rl_code code, const char *message)
{
    struct link *link = context;
    errands_drop(link);
    if (was_attached || rl_uplink_is_connected(link->line))
        rl_log_warn("detached from a root", RL_TEXT("cluster", link->root->name),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    lost(link, code, message);
}

static void on_down(void *context, bool is_news, rl_code code, const char *message)
{
    struct link *link = context;
    if (is_news)
        rl_log_warn("no connection to a root", RL_TEXT("cluster", link->root->name),
                    RL_TEXT("code", rl_code_name(code)), RL_TEXT("reason", message));
    lost(link, code, message);
}

/* ---- opened and closed ---- */

void link_init(struct link *link, struct root *root)
{
    link->root = root;
}

static rl_code make_tls(struct link *link, struct rl_error *err)
{
    const struct root *root = link->root;
    const struct broker *broker = root->roots->broker;
    char *sni = rl_sprintf("%s%sbroker.%s" RL_TLS_SNI_SUFFIX, link->replica ? link->replica : "",
                           link->replica ? "." : "", root->name);
    const struct rl_tls_client_config config = {
        .identity = broker->own,
        .trust = root->trust,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "broker",
        .peer_name = link->replica,
        .now_s = broker->config.now_s,
    };
    rl_code rc = rl_tls_client_create(&config, &link->tls, err);
    free(sni);
    return rc;
}

void link_open(struct link *link, const char *replica)
{
    static const struct rl_uplink_ops ops = {
        .hello = on_challenge, .said = on_said, .over = on_over, .down = on_down};
    struct root *root = link->root;
    const struct broker *broker = root->roots->broker;
    struct rl_error err;
    char *name = replica ? rl_strdup(replica) : NULL; /* it may be of what is closed */
    link_close(link);
    link->replica = name;
    link->since_ms = rl_loop_now_ms(broker->config.loop);
    rl_code rc = make_tls(link, &err);
    if (rc == RL_OK) {
        const struct rl_uplink_config config = {
            .loop = broker->config.loop,
            .address = root->proxy,
            .tls = link->tls,
            .http_proxy = broker->config.http_proxy,
            .service = &pb__tunnel_broker__descriptor,
            .method = "Attach",
            .retry_ms_max = ROOT_RETRY_MS_MAX,
            .now_s = broker->config.now_s,
            .ops = &ops,
            .context = link,
        };
        rc = rl_uplink_create(&config, &link->line, &err);
    }
    if (rc != RL_OK)
        rl_log_error("no connection to a root", RL_TEXT("cluster", root->name),
                     RL_TEXT("error", err.message));
}

void link_close(struct link *link)
{
    rl_uplink_free(&link->line); /* `over` comes from it */
    errands_drop(link);
    rl_tls_client_unref(&link->tls);
    forget_others(link);
    note(link, false);
    link->broker[0] = '\0';
    free(link->replica);
    link->replica = NULL;
}

void link_retire(struct link *link)
{
    if (link->line)
        rl_uplink_retire(link->line);
}

void link_renew(struct link *link)
{
    struct rl_error err;
    if (!link->line)
        return;
    if (rl_tls_client_reload(link->tls, link->root->roots->broker->own, link->root->trust, &err) ==
        RL_OK)
        rl_uplink_renew(link->line);
    else
        rl_log_error("a root can not be attached to with the new certificates",
                     RL_TEXT("cluster", link->root->name), RL_TEXT("error", err.message));
}

/* ---- which goes where ---- */

static bool is_named(const struct link *by, const char *replica)
{
    for (size_t i = 0; replica && i < by->other_count; i++)
        if (strcmp(by->others[i], replica) == 0)
            return true;
    return false;
}

static const char *any_of(const struct link *by)
{
    uint32_t random;
    rl_random(&random, sizeof random);
    return by->others[random % by->other_count];
}

static bool is_patient(const struct link *link)
{
    uint64_t now_ms = rl_loop_now_ms(link->root->roots->broker->config.loop);
    return now_ms - link->since_ms < NAMED_PATIENCE_MS;
}

static void arrange(struct link *link, bool is_first)
{
    const struct link *partner = partner_of(link);
    if (link->is_attached)
        return;
    if (partner->is_attached && !partner->other_count)
        link_close(link); /* the root has one broker */
    else if (partner->is_attached &&
             !(link->line && is_named(partner, link->replica) && is_patient(link)))
        link_open(link, any_of(partner));
    else if (!partner->is_attached && is_first &&
             (!link->line || (link->replica && !is_patient(link))))
        link_open(link, NULL);
}

void links_arrange(void *context)
{
    struct root *root = context;
    if (!root->trust || !root->proxy[0] || root->is_gone || root->roots->is_leaving)
        return;
    arrange(&root->links[0], true);
    arrange(&root->links[1], false);
    for (size_t i = 0; i < ROOT_LINKS; i++)
        if (root->links[i].line && !root->links[i].is_attached)
            rl_timer_arm(root->arrange, ARRANGE_MS);
}
