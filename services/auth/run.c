/* run: waits for the database, serves, drains. The order of the end matters: streams close and give
 * their last work to the workers, the workers end, what they posted runs, and then what it needs
 * may go. */
#include "run.h"

#include "clusters/errands.h"
#include "db/instances.h"
#include "dial/dial.h"
#include "health/health.h"
#include "log/log.h"
#include "output/output.h"
#include "record/checkpoints.h"
#include "record/events.h"
#include "server.h"
#include "services/hub.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORK_QUEUE_MAX 1024
#define HEAP_KEPT_BYTES (32 << 20)
#define DRAIN_MS 5000
#define EVENTS_GRACE_MS 2000
#define DATABASE_SAY_S 10

struct running {
    struct rl_auth_settings settings;
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct rl_health *health;
    struct rl_follow *follow;
    struct rl_auth_server *server;
    char *proxied_address, *direct_address;
    bool is_ending;
};

/* ---- the database, before anything ---- */

/* False when a signal says to end. */
static bool wait_a_second(const sigset_t *signals)
{
    struct timespec second = {1, 0};
    return sigtimedwait(signals, NULL, &second) < 0;
}

/* Anything else than an absent database needs a person. */
static rl_code wait_for_database(struct running *r, const sigset_t *signals, struct rl_error *err)
{
    for (unsigned seconds = 0;; seconds++) {
        rl_code rc = rl_auth_start(r->auth, err);
        if (rc != RL_E_UNAVAILABLE)
            return rc;
        if (seconds % DATABASE_SAY_S == 0)
            rl_log_warn("waiting for PostgreSQL", RL_TEXT("error", err->message));
        if (!wait_a_second(signals))
            return rl_fail(err, RL_E_CANCELLED, "ended by a signal while waiting for PostgreSQL");
    }
}

/* ---- what the hub tells ---- */

static void on_audit(void *context, const char *control_address, const char *direct_address)
{
    struct running *r = context;
    rl_auth_events_connect(r->auth->events, control_address, rl_auth_server_identity(r->server),
                           rl_auth_server_trust(r->server));
    rl_follow_audit(r->follow, direct_address);
}

static void on_renewed(void *context)
{
    struct running *r = context;
    rl_auth_events_reload(r->auth->events, rl_auth_server_identity(r->server),
                          rl_auth_server_trust(r->server));
}

static void on_trust(void *context)
{
    rl_auth_server_renew(((struct running *)context)->server);
}

static void on_revision(void *context, const struct rl_snapshot *snapshot)
{
    struct running *r = context;
    rl_log_debug("policy changed", RL_NUMBER("revision", snapshot->revision));
    rl_follow_revision(r->follow, snapshot);
}

static void on_statement(void *context, const Pb__SignedStatement *statement)
{
    struct running *r = context;
    rl_follow_statement(r->follow, statement);
}

/* ---- starting ---- */

static rl_code start_serving(struct running *r, struct rl_error *err)
{
    const struct rl_auth_settings *s = &r->settings;
    struct rl_auth_server_config server = {
        .auth = r->auth,
        .loop = r->loop,
        .follow = r->follow,
        .listen = s->listen,
        .proxied_listen = s->proxied_listen,
        .control_listen = s->control_listen,
        .renewed = on_renewed,
        .context = r,
    };
    rl_code rc = rl_auth_server_create(&server, &r->server, err);
    if (rc != RL_OK)
        return rc;
    r->direct_address = rl_listen_advertised(s->listen, rl_auth_server_port(r->server));
    r->proxied_address =
        s->advertise_proxied
            ? rl_strdup(s->advertise_proxied)
            : rl_listen_advertised(s->proxied_listen, rl_auth_server_proxied_port(r->server));
    struct rl_hub_config hub = {
        .auth = r->auth,
        .loop = r->loop,
        .health = r->health,
        .proxied_address = r->proxied_address,
        .direct_address = r->direct_address,
        .audit_known = on_audit,
        .revision_changed = on_revision,
        .trust_changed = on_trust,
        .statement_signed = on_statement,
        .context = r,
    };
    rc = rl_hub_create(&hub, &r->auth->hub, err);
    if (rc != RL_OK)
        return rc;
    r->auth->checkpoints = rl_checkpoints_start(r->auth, r->loop);
    r->auth->errands = rl_errands_start(r->auth, r->loop);
    return RL_OK;
}

static rl_code start_workers(struct running *r, struct rl_error *err)
{
    struct rl_auth *auth = r->auth;
    rl_code rc =
        rl_workers_create((size_t)r->settings.workers, WORK_QUEUE_MAX, &auth->workers, err);
    if (rc == RL_OK)
        rc =
            rl_workers_create(RL_AUTH_CONTROL_WORKERS, WORK_QUEUE_MAX, &auth->control_workers, err);
    if (rc == RL_OK)
        rc = rl_workers_create(RL_AUTH_PASSWORD_WORKERS, RL_AUTH_PASSWORD_QUEUE_MAX,
                               &auth->password_workers, err);
    return rc;
}

/* As curl has it, the environment may say it in small letters too. */
static rl_code choose_http_proxy(struct running *r, struct rl_error *err)
{
    const struct rl_auth_settings *s = &r->settings;
    const char *url = s->https_proxy ? s->https_proxy : getenv("https_proxy");
    const char *except = s->no_proxy ? s->no_proxy : getenv("no_proxy");
    if (!url || !*url || rl_http_proxy_create(url, except, &r->auth->http_proxy, err) == RL_OK)
        return RL_OK;
    return rl_error_prefix(err, "--https-proxy (HTTPS_PROXY)");
}

static rl_code start(struct running *r, const sigset_t *signals, struct rl_error *err)
{
    rl_code rc = rl_health_start(r->settings.health_listen, &r->health, err);
    if (rc != RL_OK)
        return rc;
    rl_health_need(r->health, "database", false);
    rc = rl_auth_open(&r->settings, &r->auth, err);
    if (rc == RL_OK)
        rc = choose_http_proxy(r, err);
    if (rc == RL_OK)
        rc = wait_for_database(r, signals, err);
    if (rc == RL_OK)
        rc = start_workers(r, err);
    if (rc != RL_OK)
        return rc;
    rl_auth_metrics_init(&r->auth->metrics, r->health);
    r->auth->events = rl_auth_events_create(r->loop, r->settings.event_journal);
    r->follow = rl_follow_create(r->auth, r->loop);
    return start_serving(r, err);
}

/* ---- ending ---- */

static void on_drained(void *context)
{
    struct running *r = context;
    rl_loop_stop(r->loop);
}

static void on_signal(void *context, int signal)
{
    struct running *r = context;
    if (r->is_ending) {
        rl_loop_stop(r->loop);
        return;
    }
    r->is_ending = true;
    rl_log_info("ending", RL_NUMBER("signal", signal));
    rl_hub_drain(r->auth->hub);
    rl_follow_drain(r->follow);
    rl_auth_server_drain(r->server, DRAIN_MS, on_drained, r);
}

static rl_code end_lease(struct rl_db *db, void *context, struct rl_error *err)
{
    const struct rl_auth *auth = context;
    return rl_leases_end(db, auth->id, err);
}

static void stop_workers(struct running *r)
{
    struct rl_workers **const pools[] = {&r->auth->workers, &r->auth->password_workers,
                                         &r->auth->control_workers};
    for (size_t i = 0; i < RL_COUNT(pools); i++)
        if (*pools[i])
            rl_workers_free(pools[i]);
    rl_loop_turn(r->loop, 0); /* what they have posted */
}

static void stop(struct running *r)
{
    struct rl_auth *auth = r->auth;
    if (auth && auth->hub)
        rl_hub_stop(auth->hub);
    if (auth) {
        rl_checkpoints_stop(auth->checkpoints);
        rl_errands_stop(auth->errands);
    }
    rl_auth_server_free(&r->server);
    if (auth)
        stop_workers(r);
    if (auth && auth->hub)
        rl_store_transaction(auth->store, end_lease, auth, NULL);
    rl_follow_free(&r->follow);
    if (auth) {
        rl_checkpoints_free(&auth->checkpoints);
        rl_errands_free(&auth->errands);
        rl_hub_free(&auth->hub);
        rl_auth_events_free(&auth->events, EVENTS_GRACE_MS);
    }
    rl_auth_close(&r->auth);
    rl_health_stop(&r->health);
    free(r->proxied_address);
    free(r->direct_address);
}

static rl_code serve(struct running *r, struct rl_error *err)
{
    static const int signals[] = {SIGTERM, SIGINT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < RL_COUNT(signals); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    rl_log_debug("descriptors", RL_NUMBER("max", rl_descriptors_raise()));
    rl_code rc = rl_loop_create(&r->loop, err);
    if (rc != RL_OK)
        return rc;
    rc = start(r, &set, err);
    if (rc == RL_OK)
        rc = rl_loop_on_signals(r->loop, signals, RL_COUNT(signals), on_signal, r, err);
    if (rc == RL_OK) {
        rl_log_info("auth serves", RL_TEXT("cluster", r->auth->cluster), RL_TEXT("id", r->auth->id),
                    RL_NUMBER("port", rl_auth_server_port(r->server)),
                    RL_NUMBER("proxied_port", rl_auth_server_proxied_port(r->server)),
                    RL_NUMBER("control_port", rl_auth_server_control_port(r->server)),
                    RL_NUMBER("health_port", rl_health_port(r->health)),
                    RL_TEXT("version", RL_VERSION));
        rl_loop_run(r->loop);
    }
    stop(r);
    rl_loop_free(&r->loop);
    return rc;
}

static rl_code set_up_log(const struct rl_auth_settings *settings, struct rl_error *err)
{
    enum rl_log_level level;
    bool as_text = rl_span_is(rl_span_of(settings->log_format), "text");
    if (!as_text && !rl_span_is(rl_span_of(settings->log_format), "json"))
        return rl_fail(err, RL_E_INVAL, "--log-format is json or text");
    rl_code rc = rl_log_level_parse(settings->log_level, &level, err);
    if (rc == RL_OK)
        rl_log_setup("remoteler-auth", level, as_text);
    return rc;
}

/* A list of thousands of nodes is many small pieces beside a few large ones: with fast bins glibc
 * goes through all of them at each large one; and one that is given back to the kernel each time
 * costs as much as filling it. */
static void keep_heap(void)
{
    mallopt(M_MXFAST, 0);
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, HEAP_KEPT_BYTES);
}

int rl_run_main(int argc, char **argv)
{
    struct running r = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    keep_heap();
    rl_code rc = rl_settings_read(&rl_auth_run_settings, argc, argv, &r.settings, &rest, &err);
    if (rc == RL_E_CANCELLED)
        return RL_EXIT_DONE;
    if (rc == RL_OK)
        rc = set_up_log(&r.settings, &err);
    if (rc != RL_OK) {
        fprintf(stderr, "remoteler-auth: %s\n", err.message);
        rl_settings_free(&rl_auth_run_settings, &r.settings);
        return RL_EXIT_USAGE;
    }
    rc = serve(&r, &err);
    if (rc == RL_E_CANCELLED)
        rl_log_info(err.message);
    else if (rc != RL_OK)
        rl_log_error("auth can not start", RL_TEXT("error", err.message));
    else
        rl_log_info("ended");
    rl_settings_free(&rl_auth_run_settings, &r.settings);
    return rc == RL_OK || rc == RL_E_CANCELLED ? RL_EXIT_DONE : RL_EXIT_FAILED;
}
