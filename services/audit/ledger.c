/* ledger: the whole log for whoever proves it, message by message: the next is read when the one
 * before has gone into the send queue. And the chains' heads, for auth's checkpoints.
 */
#include "internal.h"

#include "clock/clock.h"
#include "db/ledger.h"
#include "log/log.h"

#include <stdlib.h>

#define CROWDED_MS 100

struct reader {
    struct rl_audit *audit;
    struct rl_rpc_call *call; /* NULL: it is over */
    struct audit_permission permission;
    struct rl_identity *caller;
    char *address;
    struct rl_timer *timer;
    bool is_asked, is_working;
    rl_code rc; /* of the read that is under way */
    struct rl_error err;
    struct rl_audit_ledger_place place;
    Pb__LedgerResponse *message; /* to be sent; NULL: none */
};

static void release(struct reader *r)
{
    if (r->call || r->permission.asking || r->is_working)
        return;
    r->audit->searches--;
    if (r->message)
        pb__ledger_response__free_unpacked(r->message, NULL);
    rl_audit_ledger_place_fini(&r->place);
    rl_timer_free(&r->timer);
    rl_identity_unref(&r->caller);
    free(r->address);
    free(r);
}

static void end(struct reader *r, rl_code code, const char *message)
{
    if (r->call)
        rl_rpc_end(r->call, code, message);
}

/* ---- reading and sending ---- */

static void on_read(void *context);

static void work(void *context)
{
    struct reader *r = context;
    r->rc = rl_audit_read_ledger(r->audit->config.store, &r->place, &r->message, &r->err);
    rl_loop_post(r->audit->config.loop, on_read, r);
}

static void read_on(void *context)
{
    struct reader *r = context;
    if (!r->call || r->is_working)
        return;
    r->is_working = true;
    if (rl_workers_submit(r->audit->config.searchers, work, r, NULL) == RL_OK)
        return;
    r->is_working = false;
    rl_timer_arm(r->timer, CROWDED_MS);
}

/* When the queue is full, `writable` comes back here. */
static void send_on(struct reader *r)
{
    if (!r->call || !r->message || rl_rpc_send(r->call, &r->message->base, NULL) != RL_OK)
        return;
    pb__ledger_response__free_unpacked(r->message, NULL);
    r->message = NULL;
    read_on(r);
}

static void on_read(void *context)
{
    struct reader *r = context;
    r->is_working = false;
    if (!r->call) {
        release(r);
    } else if (r->rc != RL_OK) {
        rl_log_error("the log cannot be read", RL_TEXT("error", r->err.message));
        end(r, r->rc == RL_E_DATA_LOSS || r->rc == RL_E_UNAVAILABLE ? r->rc : RL_E_INTERNAL,
            r->rc == RL_E_DATA_LOSS ? r->err.message
                                    : "the log cannot be read; audit's log says why");
    } else if (!r->message) {
        end(r, RL_OK, NULL);
    } else {
        send_on(r);
    }
}

/* ---- may it? ---- */

static void on_answer(void *context, enum audit_answer answer, const char *reason)
{
    struct reader *r = context;
    if (!r->call)
        release(r);
    else if (answer == AUDIT_UNKNOWN)
        end(r, RL_E_UNAVAILABLE, reason);
    else if (answer == AUDIT_DENIED || r->permission.own_only)
        end(r, RL_E_DENIED,
            "the log is proven as a whole: your roles do not let you read all of it");
    else
        read_on(r);
}

/* ---- the call ---- */

void audit_ledger_opened(struct rl_rpc_call *call, void *context)
{
    struct rl_audit *audit = context;
    if (audit->searches >= RL_AUDIT_SEARCHES_MAX) {
        rl_rpc_end(call, RL_E_EXHAUSTED, "too many searches run; try again later");
        return;
    }
    struct reader *r = rl_alloc(sizeof *r);
    r->audit = audit;
    r->call = call;
    r->permission = (struct audit_permission){.audit = audit, .answered = on_answer, .context = r};
    r->caller = rl_identity_ref(rl_rpc_peer(call)->identity);
    r->address = rl_strdup(rl_rpc_peer(call)->address);
    r->timer = rl_timer_create(audit->config.loop, read_on, r);
    rl_rpc_set_data(call, r);
    audit->searches++;
}

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)message;
    (void)context;
    struct reader *r = rl_rpc_data(call);
    if (!r || r->is_asked)
        return;
    r->is_asked = true;
    audit_permission_ask(&r->permission, r->caller, r->address, "event", "list");
}

static void on_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct reader *r = rl_rpc_data(call);
    if (r && !r->is_asked)
        end(r, RL_E_INVAL, "a request is missing");
}

static void on_writable(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct reader *r = rl_rpc_data(call);
    if (r && !r->is_working)
        send_on(r);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)code;
    (void)message;
    (void)context;
    struct reader *r = rl_rpc_data(call);
    if (!r)
        return;
    r->call = NULL;
    rl_timer_disarm(r->timer);
    if (r->permission.asking)
        rl_rpc_cancel(r->permission.asking);
    release(r);
}

const struct rl_rpc_stream_ops audit_ledger_ops = {
    .message = on_message,
    .half_closed = on_half_closed,
    .writable = on_writable,
    .closed = on_closed,
};

/* ---- heads ---- */

#define CLOCKS_DIFFER_NS (3600 * INT64_C(1000000000))

void audit_heads(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    struct rl_audit *audit = context;
    const Pb__HeadsRequest *request = (const Pb__HeadsRequest *)message;
    Pb__HeadsResponse *reply = rl_alloc(sizeof *reply);
    struct rl_error err;
    pb__heads_response__init(reply);
    int64_t since_ns =
        request->since_ns > CLOCKS_DIFFER_NS ? request->since_ns - CLOCKS_DIFFER_NS : 0;
    rl_code rc = rl_audit_heads_of(audit->config.store, request->known, request->n_known, since_ns,
                                   reply, &err);
    if (rc == RL_OK)
        rl_rpc_reply(call, &reply->base);
    else
        rl_rpc_fail(call, &err);
    pb__heads_response__free_unpacked(reply, NULL);
}
