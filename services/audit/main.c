/* remoteler-audit: settings, membership, the database, listeners; the rest is audit.h's. The order
 * of the end matters: calls close, the threads that answer them end, then what they used goes. */
#include "audit.h"
#include "graves.h"
#include "keeper.h"
#include "log/log.h"
#include "maintain.h"
#include "member/program.h"
#include "settings.h"
#include "stores.h"

#include <stdlib.h>
#include <string.h>

#define WRITERS 4   /* threads that judge; one of them writes */
#define SEARCHERS 4 /* threads that read */
#define RECORDERS 2 /* threads that write recordings */
#define QUEUE_MAX 4096

struct program {
    struct rl_audit_settings settings;
    struct rl_loop *loop;
    struct rl_member *member;
    struct rl_store *writer, *owner;
    struct rl_workers *writers, *searchers, *recorders;
    struct rl_audit *audit;
    struct rl_audit_keeper *keeper;
    struct rl_voted_clock clock; /* when what comes in was received */
    struct rl_audit_graves *graves;
    struct rl_tls_server *tls;
    struct rl_rpc_server *h2, *grpc;
    char *address, *proxied_address, *control_address; /* NULL: does not listen yet */
    int draining;                                      /* servers */
    bool is_stopping;
    rl_code failed; /* RL_OK: it did not */
    struct rl_error why;
};

/* ---- what auth says, and is told ---- */

static struct rl_rpc_channel *auth_of(void *context)
{
    struct rl_control *control = rl_member_control(((struct program *)context)->member);
    return control ? rl_control_channel(control) : NULL;
}

static void on_describe(void *context, Pb__HeartbeatRequest *beat)
{
    struct program *p = context;
    if (!p->control_address)
        return;
    beat->dial_address = p->address;
    beat->attach_address = p->proxied_address;
    beat->control_address = p->control_address;
}

static void use_tickets(struct program *p)
{
    struct rl_error err;
    if (p->tls && rl_control_set_tickets(rl_member_control(p->member), p->tls, &err) != RL_OK)
        rl_log_error("auth's ticket keys can not be used", RL_TEXT("error", err.message));
}

static void on_changed(void *context, unsigned what)
{
    struct program *p = context;
    const Pb__ControlUpdate *state = rl_control_state(rl_member_control(p->member));
    if (what & RL_CONTROL_TICKET_KEYS)
        use_tickets(p);
    const Pb__ClusterConfig *config = state->config;
    /* A new revision may be another role_map: whoever reads is held against it. */
    if ((what & (RL_CONTROL_LOCKS | RL_CONTROL_CUTS | RL_CONTROL_CLUSTERS | RL_CONTROL_REVISION)) &&
        p->audit)
        rl_audit_stops_changed(p->audit);
    if ((what & RL_CONTROL_CONFIG) && p->keeper && config && config->spec &&
        config->spec->audit_retention_s)
        rl_audit_keeper_retain(p->keeper, config->spec->audit_retention_s);
}

static void on_renewed(void *context)
{
    struct program *p = context;
    struct rl_tls_identity *identity = rl_member_identity(p->member);
    struct rl_trust *users = rl_member_listener_trust(p->member);
    struct rl_error err;
    if ((p->tls && rl_tls_server_reload(p->tls, identity, users, &err) != RL_OK) ||
        (p->control_address &&
         rl_rpc_server_reload_grpc(p->grpc, identity, rl_member_trust(p->member), &err) != RL_OK))
        rl_log_error("the new certificate could not be used", RL_TEXT("error", err.message));
    rl_rpc_server_end_strangers(p->h2, users, "your cluster is not trusted here any more");
}

/* ---- the end ---- */

static void on_drained(void *context)
{
    struct program *p = context;
    if (--p->draining == 0)
        rl_loop_stop(p->loop);
}

static void on_stop(void *context)
{
    struct program *p = context;
    uint32_t grace_ms = (uint32_t)p->settings.member.drain_s * 1000;
    rl_control_beat(rl_member_control(p->member)); /* who asks for audit is sent elsewhere */
    p->is_stopping = true;
    p->draining = 2;
    rl_rpc_server_drain(p->h2, grace_ms, on_drained, p);
    rl_rpc_server_drain(p->grpc, grace_ms, on_drained, p);
}

/* ---- the start ---- */

static rl_code make_tls(struct program *p, struct rl_error *err)
{
    static const char *const alpn[] = {"h2", NULL};
    struct rl_tls_server_config config = {
        .route = "audit",
        .identity = rl_member_identity(p->member),
        .trust = rl_member_listener_trust(p->member),
        .client = RL_TLS_CLIENT_REQUIRED,
        .alpn = alpn,
        .allow_resumption = true,
    };
    return rl_tls_server_create(&config, &p->tls, err);
}

static rl_code listen_all(struct program *p, struct rl_error *err)
{
    const struct rl_audit_settings *s = &p->settings;
    struct rl_trust *trust = rl_member_trust(p->member);
    struct rl_rpc_listen direct = {.address = s->listen, .tls = p->tls};
    struct rl_rpc_listen proxied = {
        .address = s->proxied_listen, .tls = p->tls, .proxied_by = trust};
    struct rl_rpc_listen control = {
        .address = s->control_listen, .identity = rl_member_identity(p->member), .trust = trust};
    uint16_t port = 0, proxied_port = 0, control_port = 0;
    rl_code rc = rl_rpc_server_listen(p->h2, &direct, &port, err);
    if (rc == RL_OK)
        rc = rl_rpc_server_listen(p->h2, &proxied, &proxied_port, err);
    if (rc == RL_OK)
        rc = rl_rpc_server_listen(p->grpc, &control, &control_port, err);
    if (rc != RL_OK)
        return rc;
    p->address = rl_member_advertise(s->advertise, s->listen, port);
    p->proxied_address = rl_member_advertise(s->proxied_advertise, s->proxied_listen, proxied_port);
    p->control_address = rl_member_advertise(s->control_advertise, s->control_listen, control_port);
    rl_log_info("listening", RL_TEXT("direct", p->address), RL_TEXT("proxied", p->proxied_address),
                RL_TEXT("control", p->control_address));
    return RL_OK;
}

static void on_buried(void *context)
{
    rl_audit_keeper_maintain_soon(((struct program *)context)->keeper);
}

static void start_graves(struct program *p)
{
    struct rl_audit_graves_config config = {
        .loop = p->loop,
        .cluster = rl_member_cluster(p->member),
        .writer = p->writer,
        .workers = p->searchers,
        .auth = auth_of,
        .is_signed = on_buried,
        .context = p,
    };
    p->graves = rl_audit_graves_start(&config);
}

/* The database is there: from now on audit can do what it says. */
static void on_ready(void *context)
{
    struct program *p = context;
    struct rl_error err;
    if (p->is_stopping)
        return;
    start_graves(p);
    rl_audit_start(p->audit);
    rl_code rc = make_tls(p, &err);
    if (rc == RL_OK)
        rc = listen_all(p, &err);
    if (rc == RL_OK) {
        use_tickets(p);
        rl_health_need(rl_member_health(p->member), "listening", true);
        rl_control_beat(rl_member_control(p->member));
        return;
    }
    p->failed = rl_fail(&p->why, rc, "audit cannot listen: %s", err.message);
    rl_loop_stop(p->loop);
}

static rl_code make_audit(struct program *p, struct rl_error *err)
{
    struct rl_audit_config config = {
        .loop = p->loop,
        .cluster = rl_member_cluster(p->member),
        .replica = rl_member_id(p->member),
        .store = p->writer,
        .searchers = p->searchers,
        .recorders = p->recorders,
        .health = rl_member_health(p->member),
        .clock = &p->clock,
        .auth = auth_of,
        .context = p,
    };
    p->audit = rl_audit_create(&config);
    struct rl_rpc_server_config server = {
        .loop = p->loop,
        .workers = p->writers,
        .authorize = rl_audit_authorize,
        .authorize_context = p->audit,
    };
    rl_code rc = rl_rpc_server_create_h2(&server, &p->h2, err);
    if (rc == RL_OK)
        rc = rl_rpc_server_create_grpc(&server, &p->grpc, err);
    if (rc != RL_OK)
        return rc;
    rl_audit_serve(p->audit, p->h2);
    rl_audit_serve(p->audit, p->grpc);
    return RL_OK;
}

static rl_code open_stores(struct program *p, struct rl_error *err)
{
    rl_code rc = rl_audit_open_writer(p->settings.database, WRITERS + SEARCHERS + RECORDERS + 1,
                                      &p->writer, err);
    if (rc == RL_OK && p->settings.owner_database)
        rc = rl_audit_open_owner(p->settings.owner_database, &p->owner, err);
    if (rc == RL_OK)
        rc = rl_workers_create(WRITERS, QUEUE_MAX, &p->writers, err);
    if (rc == RL_OK)
        rc = rl_workers_create(SEARCHERS, QUEUE_MAX, &p->searchers, err);
    if (rc == RL_OK)
        rc = rl_workers_create(RECORDERS, QUEUE_MAX, &p->recorders, err);
    return rc;
}

static rl_code start_keeper(struct program *p, struct rl_error *err)
{
    struct rl_audit_keeper_config config = {
        .loop = p->loop,
        .writer = p->writer,
        .owner = p->owner,
        .replica = rl_member_id(p->member),
        .clock = &p->clock,
        .retention_s = p->settings.retention_s,
        .health = rl_member_health(p->member),
        .ready = on_ready,
        .context = p,
    };
    return rl_audit_keeper_start(&config, &p->keeper, err);
}

static rl_code start(struct program *p, struct rl_error *err)
{
    rl_code rc = rl_loop_create(&p->loop, err);
    if (rc != RL_OK)
        return rc;
    struct rl_member_config member = {
        .loop = p->loop,
        .program = rl_audit_run_settings.program,
        .kind = "audit",
        .settings = &p->settings.member,
        .advertise_address = p->settings.advertise,
        .describe = on_describe,
        .changed = on_changed,
        .renewed = on_renewed,
        .stop = on_stop,
        .context = p,
    };
    rc = rl_member_create(&member, &p->member, err);
    if (rc == RL_OK)
        rc = open_stores(p, err);
    if (rc != RL_OK)
        return rc;
    rl_health_need(rl_member_health(p->member), "listening", false);
    rc = make_audit(p, err);
    if (rc == RL_OK)
        rc = rl_member_start(p->member, err);
    return rc == RL_OK ? start_keeper(p, err) : rc;
}

static rl_code run(void *context, struct rl_error *err)
{
    struct program *p = context;
    rl_code rc = start(p, err);
    if (rc != RL_OK)
        return rc;
    rl_loop_run(p->loop);
    return p->failed == RL_OK ? RL_OK : rl_fail(err, p->failed, "%s", p->why.message);
}

static void finish(void *context)
{
    struct program *p = context;
    p->is_stopping = true;
    rl_audit_graves_stop(&p->graves);
    rl_audit_keeper_stop(&p->keeper);
    rl_rpc_server_free(&p->h2);
    rl_rpc_server_free(&p->grpc);
    rl_workers_free(&p->writers);
    rl_workers_free(&p->recorders); /* their calls are answered; then what they used may go */
    rl_audit_free(&p->audit);
    rl_workers_free(&p->searchers);
    rl_member_free(&p->member);
    rl_tls_server_unref(&p->tls);
    rl_loop_free(&p->loop);
    rl_store_close(&p->writer);
    rl_store_close(&p->owner);
    free(p->address);
    free(p->proxied_address);
    free(p->control_address);
    rl_settings_free(&rl_audit_run_settings, &p->settings);
}

int main(int argc, char **argv)
{
    struct program p = {.loop = NULL};
    const struct rl_member_program program = {
        .spec = &rl_audit_run_settings,
        .settings = &p.settings,
        .health_listen = &p.settings.member.health_listen,
        .run = run,
        .finish = finish,
        .context = &p,
    };
    if (argc > 1 && strcmp(argv[1], "maintain") == 0)
        return rl_audit_maintain_main(argc - 1, argv + 1);
    return rl_member_main(&program, argc, argv);
}
