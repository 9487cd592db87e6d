/* remoteler-broker: settings, membership, listeners; the rest is broker.h's. */
#include "broker.h"
#include "dial/http_proxy.h"
#include "log/log.h"
#include "member/program.h"
#include "settings.h"

#include <stdlib.h>

/* For auth's ticket keys, without which agents that come back could not resume their sessions and
 * each would cost the broker several times as much. */
#define HOLD_MS 2000

struct program {
    struct broker_settings settings;
    struct rl_loop *loop;
    struct rl_member *member;
    struct rl_tls_server *dial_tls, *attach_tls;
    struct broker *broker;
    struct rl_timer *hold;
    struct rl_http_proxy *http_proxy;
    char *dial_address, *attach_address;
};

static rl_code make_tls(struct program *p, const char *route, struct rl_trust *trust,
                        struct rl_tls_server **out, struct rl_error *err)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_server_config config = {
        .route = route,
        .identity = rl_member_identity(p->member),
        .trust = trust,
        .client = RL_TLS_CLIENT_REQUIRED,
        .alpn = alpn,
        .allow_resumption = true,
    };
    return rl_tls_server_create(&config, out, err);
}

static void on_renewed(void *context)
{
    struct program *p = context;
    struct rl_tls_identity *identity = rl_member_identity(p->member);
    struct rl_trust *trust = rl_member_trust(p->member);
    struct rl_error err;
    if ((p->dial_tls && rl_tls_server_reload(p->dial_tls, identity, trust, &err) != RL_OK) ||
        (p->attach_tls && rl_tls_server_reload(p->attach_tls, identity,
                                               rl_member_listener_trust(p->member), &err) != RL_OK))
        rl_log_error("the new certificate could not be used", RL_TEXT("error", err.message));
    if (p->broker)
        broker_identify(p->broker, identity, trust);
}

static void on_describe(void *context, Pb__HeartbeatRequest *beat)
{
    struct program *p = context;
    beat->dial_address = p->dial_address;
    beat->attach_address = p->attach_address;
}

static void use_tickets(const struct program *p)
{
    const struct rl_control *control = rl_member_control(p->member);
    struct rl_error err;
    if (rl_control_set_tickets(control, p->dial_tls, &err) != RL_OK ||
        rl_control_set_tickets(control, p->attach_tls, &err) != RL_OK)
        rl_log_error("auth's ticket keys can not be used", RL_TEXT("error", err.message));
}

static void on_changed(void *context, unsigned what)
{
    const struct program *p = context;
    if (what & RL_CONTROL_TICKET_KEYS) {
        use_tickets(p);
        broker_let_in(p->broker);
    }
    broker_control_changed(p->broker, what);
}

/* Auth is away: that is what agents are told then. */
static void on_held_long(void *context)
{
    broker_let_in(((struct program *)context)->broker);
}

static void on_line(void *context, const char *message)
{
    broker_control_line(((struct program *)context)->broker, message);
}

static void on_drained(void *context)
{
    rl_loop_stop(((struct program *)context)->loop);
}

static void on_stop(void *context)
{
    struct program *p = context;
    rl_control_beat(rl_member_control(p->member)); /* proxies look elsewhere from now on */
    broker_drain(p->broker, (uint32_t)p->settings.member.drain_s * 1000, on_drained, p);
}

static rl_code listen_both(struct program *p, struct rl_error *err)
{
    const struct broker_settings *s = &p->settings;
    uint16_t dial_port = 0, attach_port = 0;
    rl_code rc = make_tls(p, "dial", rl_member_trust(p->member), &p->dial_tls, err);
    if (rc == RL_OK) /* where brokers of leaves come too */
        rc = make_tls(p, "attach", rl_member_listener_trust(p->member), &p->attach_tls, err);
    if (rc == RL_OK)
        rc = broker_listen_dial(p->broker, s->dial_listen, p->dial_tls, &dial_port, err);
    if (rc != RL_OK)
        return rc;
    rc = broker_listen_attach(p->broker, s->attach_listen, p->attach_tls,
                              rl_member_trust(p->member), &attach_port, err);
    if (rc != RL_OK)
        return rc;
    p->dial_address = rl_member_advertise(s->dial_advertise, s->dial_listen, dial_port);
    p->attach_address = rl_member_advertise(s->attach_advertise, s->attach_listen, attach_port);
    rl_log_info("listening", RL_TEXT("dial", p->dial_address),
                RL_TEXT("attach", p->attach_address));
    return RL_OK;
}

/* The way out to root clusters; as curl has it, the environment may say it in small letters too. */
static rl_code choose_http_proxy(struct program *p, struct rl_error *err)
{
    const struct broker_settings *s = &p->settings;
    const char *url = s->https_proxy ? s->https_proxy : getenv("https_proxy");
    const char *except = s->no_proxy ? s->no_proxy : getenv("no_proxy");
    if (!url || !*url || rl_http_proxy_create(url, except, &p->http_proxy, err) == RL_OK)
        return RL_OK;
    return rl_error_prefix(err, "--https-proxy (HTTPS_PROXY)");
}

static rl_code start(struct program *p, struct rl_error *err)
{
    rl_code rc = choose_http_proxy(p, err);
    if (rc == RL_OK)
        rc = rl_loop_create(&p->loop, err);
    if (rc != RL_OK)
        return rc;
    struct rl_member_config member = {
        .loop = p->loop,
        .program = broker_settings_spec.program,
        .kind = "broker",
        .settings = &p->settings.member,
        .advertise_address = p->settings.dial_advertise,
        .describe = on_describe,
        .changed = on_changed,
        .line = on_line,
        .renewed = on_renewed,
        .stop = on_stop,
        .context = p,
    };
    rc = rl_member_create(&member, &p->member, err);
    if (rc != RL_OK)
        return rc;
    struct broker_config config = {
        .loop = p->loop,
        .cluster = rl_member_cluster(p->member),
        .id = rl_member_id(p->member),
        .agents_max = (size_t)p->settings.agents_max,
        .attach_rate = (uint32_t)p->settings.attach_rate,
        .stream_window_bytes = (uint32_t)p->settings.stream_window_bytes,
        .is_held = true,
        .health = rl_member_health(p->member),
        .http_proxy = p->http_proxy,
    };
    rc = broker_create(&config, &p->broker, err);
    if (rc == RL_OK)
        rc = listen_both(p, err);
    if (rc == RL_OK)
        rc = rl_member_start(p->member, err);
    if (rc == RL_OK) {
        p->hold = rl_timer_create(p->loop, on_held_long, p);
        rl_timer_arm(p->hold, HOLD_MS);
        broker_set_control(p->broker, rl_member_control(p->member));
        broker_identify(p->broker, rl_member_identity(p->member), rl_member_trust(p->member));
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
    rl_timer_free(&p->hold);
    broker_free(&p->broker);
    rl_member_free(&p->member);
    rl_tls_server_unref(&p->dial_tls);
    rl_tls_server_unref(&p->attach_tls);
    rl_loop_free(&p->loop);
    rl_http_proxy_free(&p->http_proxy);
    free(p->dial_address);
    free(p->attach_address);
    rl_settings_free(&broker_settings_spec, &p->settings);
}

int main(int argc, char **argv)
{
    struct program p = {.loop = NULL};
    const struct rl_member_program program = {
        .spec = &broker_settings_spec,
        .settings = &p.settings,
        .health_listen = &p.settings.member.health_listen,
        .run = run,
        .finish = finish,
        .context = &p,
    };
    return rl_member_main(&program, argc, argv);
}
