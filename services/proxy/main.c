/* remoteler-proxy: settings, membership, listener; the rest is proxy.h's. */
#include "certificate.h"
#include "journal/outbox.h"
#include "log/log.h"
#include "member/program.h"
#include "proxy.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_GRACE_MS 3000
#define DESCRIPTORS_OWN 64 /* listeners, loop, auth, audit, brokers, files */

struct program {
    struct proxy_settings settings;
    struct rl_loop *loop;
    struct rl_member *member;
    struct certificate *web;
    struct proxy *proxy;
    struct rl_rpc_channel *audit;
    struct rl_event_sender *events; /* once audit is known */
    struct rl_outbox *outbox;
    char *audit_address;
};

/* ---- certificates ---- */

static struct proxy_identity identity_of(const struct program *p)
{
    return (struct proxy_identity){.own = rl_member_identity(p->member),
                                   .web = certificate_identity(p->web),
                                   .trust = rl_member_trust(p->member),
                                   .users = rl_member_listener_trust(p->member),
                                   .bundle = rl_member_bundle(p->member)};
}

static void use_certificates(void *context)
{
    struct program *p = context;
    struct rl_error err;
    if (!p->proxy)
        return; /* it still waits for auth, and will take what there is then */
    struct proxy_identity identity = identity_of(p);
    if (proxy_renewed(p->proxy, &identity, &err) != RL_OK)
        rl_log_error("the new certificate can not be used", RL_TEXT("error", err.message));
}

static void on_renewed(void *context)
{
    struct program *p = context;
    struct proxy_identity identity = identity_of(p);
    struct rl_error err;
    use_certificates(p);
    if (p->audit &&
        rl_rpc_channel_reload_grpc(p->audit, identity.own, identity.trust, &err) != RL_OK)
        rl_log_error("no line to audit with the new certificate", RL_TEXT("error", err.message));
}

/* ---- events ---- */

static const char *where_audit_is(const struct program *p)
{
    const Pb__ServiceAddresses *s = rl_control_state(rl_member_control(p->member))->services;
    if (p->settings.audit_control_address)
        return p->settings.audit_control_address;
    return s && s->n_audit_control ? s->audit_control[0] : NULL;
}

static void on_events_lost(void *context, const Pb__Event *event, const char *reason,
                           size_t dropped)
{
    (void)context;
    rl_log_error("events were lost", RL_TEXT("type", event ? event->type : ""),
                 RL_TEXT("uid", event ? event->uid : ""), RL_TEXT("reason", reason),
                 RL_NUMBER("lost_in_all", dropped));
}

static void on_trouble(void *context, const char *message)
{
    (void)context;
    rl_log_error("events would not survive this process", RL_TEXT("reason", message));
}

static void open_outbox(struct program *p)
{
    char *path = rl_sprintf("%s/events", rl_member_state_dir(p->member));
    const struct rl_outbox_config config = {.loop = p->loop, .path = path, .trouble = on_trouble};
    p->outbox = rl_outbox_open(&config);
    proxy_set_events(p->proxy, p->outbox);
    free(path);
}

static void connect_audit(struct program *p)
{
    const char *address = where_audit_is(p);
    if (!address || (p->audit_address && strcmp(p->audit_address, address) == 0))
        return;
    free(p->audit_address);
    p->audit_address = rl_strdup(address);
    if (p->audit) {
        rl_rpc_channel_renew(p->audit, address);
        return;
    }
    struct rl_rpc_channel_config config = {
        .loop = p->loop,
        .address = address,
        .identity = rl_member_identity(p->member),
        .trust = rl_member_trust(p->member),
        .peer_service = "audit",
    };
    struct rl_error err;
    if (rl_rpc_channel_create_grpc(&config, &p->audit, &err) != RL_OK) {
        rl_log_error("no line to audit", RL_TEXT("error", err.message));
        return;
    }
    p->events = rl_event_sender_create(p->loop, p->audit);
    rl_event_sender_on_lost(p->events, on_events_lost, NULL);
    rl_outbox_connect(p->outbox, p->events);
    rl_log_info("events go to audit", RL_TEXT("address", address));
}

/* ---- life ---- */

static void on_changed(void *context, unsigned what)
{
    struct program *p = context;
    if (!rl_member_control(p->member))
        return;
    if (what & RL_CONTROL_SERVICES)
        connect_audit(p);
    proxy_control_changed(p->proxy, what);
}

static void on_drained(void *context)
{
    rl_loop_stop(((struct program *)context)->loop);
}

static void on_stop(void *context)
{
    struct program *p = context;
    rl_control_beat(rl_member_control(p->member));
    proxy_drain(p->proxy, (uint32_t)p->settings.member.drain_s * 1000, on_drained, p);
}

/* A connection that is passed through, or a user's to a node that is dialled itself, needs two
 * descriptors: a limit beyond that would not be the one that counts. */
static size_t connections_max(const struct program *p)
{
    uint64_t wanted = (uint64_t)p->settings.connections_max;
    uint64_t descriptors = rl_member_descriptors(p->member);
    uint64_t most = descriptors > 2 * DESCRIPTORS_OWN ? (descriptors - DESCRIPTORS_OWN) / 2
                                                      : DESCRIPTORS_OWN / 2;
    if (!descriptors || wanted <= most)
        return (size_t)wanted;
    rl_log_warn("fewer connections than --connections-max: the limit of descriptors is too low",
                RL_NUMBER("connections_max", most), RL_NUMBER("descriptors", descriptors));
    return (size_t)most;
}

static rl_code make_proxy(struct program *p, struct rl_error *err)
{
    const struct proxy_settings *s = &p->settings;
    struct proxy_identity identity = identity_of(p);
    struct proxy_config config = {
        .loop = p->loop,
        .cluster = rl_member_cluster(p->member),
        .id = rl_member_id(p->member),
        .public_address = s->public_address ? s->public_address : s->listen.items[0],
        .auth_proxied_address = s->auth_proxied_address,
        .balancers = &s->balancers,
        .connections_max = connections_max(p),
        .half_open_max = (size_t)s->half_open_max,
        .stream_window_bytes = (uint32_t)s->stream_window_bytes,
        .health = rl_member_health(p->member),
    };
    rl_code rc = proxy_create(&config, &identity, &p->proxy, err);
    for (size_t i = 0; rc == RL_OK && i < s->listen.count; i++) {
        uint16_t port = 0;
        rc = proxy_listen(p->proxy, s->listen.items[i], &port, err);
        if (rc == RL_OK)
            rl_log_info("listening", RL_TEXT("address", s->listen.items[i]),
                        RL_NUMBER("port", port));
    }
    return rc;
}

static rl_code start(struct program *p, struct rl_error *err)
{
    rl_code rc = rl_loop_create(&p->loop, err);
    if (rc == RL_OK)
        rc = certificate_open(p->loop, p->settings.web_certificate, p->settings.web_key,
                              use_certificates, p, &p->web, err);
    if (rc != RL_OK)
        return rc;
    struct rl_member_config member = {
        .loop = p->loop,
        .program = proxy_settings_spec.program,
        .kind = "proxy",
        .settings = &p->settings.member,
        .advertise_address = p->settings.public_address,
        .changed = on_changed,
        .renewed = on_renewed,
        .stop = on_stop,
        .context = p,
    };
    rc = rl_member_create(&member, &p->member, err);
    if (rc == RL_OK)
        rc = make_proxy(p, err);
    if (rc == RL_OK)
        open_outbox(p);
    if (rc == RL_OK)
        rc = rl_member_start(p->member, err);
    if (rc == RL_OK) {
        proxy_set_control(p->proxy, rl_member_control(p->member));
        connect_audit(p);
    }
    return rc;
}

static rl_code run(void *context, struct rl_error *err)
{
    struct program *p = context;
    rl_code rc = start(p, err);
    if (rc == RL_OK)
        rl_loop_run(p->loop);
    return rc;
}

static void finish(void *context)
{
    struct program *p = context;
    proxy_free(&p->proxy);
    if (p->events)
        rl_event_sender_flush(p->events, EVENTS_GRACE_MS);
    rl_outbox_close(&p->outbox);
    rl_event_sender_free(&p->events, 0);
    rl_rpc_channel_free(&p->audit);
    rl_member_free(&p->member);
    certificate_close(&p->web);
    rl_loop_free(&p->loop);
    free(p->audit_address);
    rl_settings_free(&proxy_settings_spec, &p->settings);
}

int main(int argc, char **argv)
{
    struct program p = {.loop = NULL};
    const struct rl_member_program program = {
        .spec = &proxy_settings_spec,
        .settings = &p.settings,
        .health_listen = &p.settings.member.health_listen,
        .run = run,
        .finish = finish,
        .context = &p,
    };
    return rl_member_main(&program, argc, argv);
}
