/* follow: challenge, hello, welcome, policy. What blocks is done by workers; a follower that went
 * away meanwhile is only forgotten once its last job has come back. */
#include "fleet/follow.h"

#include "bytes/secret.h"
#include "clock/clock.h"
#include "fleet/attach.h"
#include "fleet/join.h"
#include "log/log.h"
#include "protocol/protocol.h"
#include "services/control.h"
#include "services/hub.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_BYTES 16

struct follower {
    struct follower *next, **link;
    struct rl_follow *follow;
    struct rl_rpc_call *call; /* NULL: gone */
    char agent_id[RL_UUID_TEXT_BYTES];
    char *peer_address, *node_name;
    uint64_t epoch;
    uint8_t nonce[NONCE_BYTES];
    bool is_attached;
    bool is_sending;            /* a policy job is under way */
    bool is_stale;              /* and another is wanted after it */
    bool is_locked;             /* to be let go as soon as it has heard of that */
    unsigned jobs;              /* that are under way */
    Pb__PolicyForRequest *held; /* what it says that it holds */
};

struct rl_follow {
    struct rl_auth *auth;
    struct rl_loop *loop;
    struct follower *followers;
    size_t count;
    char *audit_address; /* NULL: not known yet */
};

struct rl_follow *rl_follow_create(struct rl_auth *auth, struct rl_loop *loop)
{
    struct rl_follow *follow = rl_alloc(sizeof *follow);
    follow->auth = auth;
    follow->loop = loop;
    return follow;
}

static void forget(struct follower *f)
{
    if (f->call || f->jobs)
        return;
    *f->link = f->next;
    if (f->next)
        f->next->link = f->link;
    rl_metric_set(f->follow->auth->metrics.followers, (int64_t)--f->follow->count);
    pb__policy_for_request__free_unpacked(f->held, NULL);
    free(f->peer_address);
    free(f->node_name);
    free(f);
}

void rl_follow_free(struct rl_follow **follow)
{
    if (!*follow)
        return;
    RL_ASSERT(!(*follow)->followers);
    free((*follow)->audit_address);
    free(*follow);
    *follow = NULL;
}

/* ---- jobs ---- */

struct job {
    struct follower *follower;
    void (*work)(struct job *job);   /* on a worker */
    void (*finish)(struct job *job); /* on the loop; the call may be gone */
    rl_code rc;
    struct rl_error err;
    uint64_t epoch;
    Pb__SignedHello *hello;
    Pb__PolicyForRequest *held;
    Pb__PolicyUpdate *update;
    char *reason;
};

static void job_free(struct job *job)
{
    if (job->hello)
        pb__signed_hello__free_unpacked(job->hello, NULL);
    if (job->held)
        pb__policy_for_request__free_unpacked(job->held, NULL);
    if (job->update)
        pb__policy_update__free_unpacked(job->update, NULL);
    free(job->reason);
    free(job);
}

static void job_finish(void *context)
{
    struct job *job = context;
    struct follower *f = job->follower;
    job->finish(job);
    job_free(job);
    f->jobs--;
    forget(f);
}

static void job_run(void *context)
{
    struct job *job = context;
    job->work(job);
    rl_loop_post(job->follower->follow->loop, job_finish, job);
}

static void end_call(struct follower *f, const struct rl_error *err)
{
    if (f->call)
        rl_rpc_end(f->call, err->code, err->message);
}

static void job_submit(struct job *job)
{
    struct follower *f = job->follower;
    struct rl_error err;
    f->jobs++;
    if (rl_workers_submit(f->follow->auth->control_workers, job_run, job, &err) == RL_OK)
        return;
    f->jobs--;
    end_call(f, &err); /* it comes back when there is room */
    job_free(job);
}

static struct job *job_create(struct follower *f, void (*work)(struct job *),
                              void (*finish)(struct job *))
{
    struct job *job = rl_alloc(sizeof *job);
    job->follower = f;
    job->work = work;
    job->finish = finish;
    job->epoch = f->epoch;
    return job;
}

/* ---- sending ---- */

static void send_message(struct follower *f, const Pb__BrokerMessage *message)
{
    struct rl_error err;
    if (f->call && rl_rpc_send(f->call, &message->base, &err) != RL_OK)
        rl_rpc_cancel(f->call);
}

static void send_welcome(struct follower *f)
{
    Pb__Welcome welcome = PB__WELCOME__INIT;
    welcome.keepalive_s = RL_FOLLOW_KEEPALIVE_S;
    welcome.time_ns = rl_clock_wall_ns();
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_WELCOME;
    message.welcome = &welcome;
    send_message(f, &message);
}

static void send_audit_place(struct follower *f)
{
    const struct rl_follow *follow = f->follow;
    if (!follow->audit_address || !f->is_attached)
        return;
    Pb__AuditPlace place = PB__AUDIT_PLACE__INIT;
    place.address = follow->audit_address;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_AUDIT_PLACE;
    message.audit_place = &place;
    send_message(f, &message);
}

static void send_statement(struct follower *f, const Pb__SignedStatement *statement)
{
    if (!statement || !f->is_attached)
        return;
    Pb__SignedStatement copy = *statement;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_STATEMENT;
    message.statement = &copy;
    send_message(f, &message);
}

/* ---- policy ---- */

static void work_policy(struct job *job)
{
    job->rc = rl_policy_for_agent(job->follower->follow->auth, job->held, &job->update, &job->err);
}

static void start_policy(struct follower *f);

static void finish_policy(struct job *job)
{
    struct follower *f = job->follower;
    f->is_sending = false;
    if (job->rc == RL_OK) {
        Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
        message.body_case = PB__BROKER_MESSAGE__BODY_POLICY;
        message.policy = job->update;
        send_message(f, &message);
        send_statement(f, rl_hub_statement(f->follow->auth->hub));
    } else {
        rl_log_warn("a policy could not be made", RL_TEXT("agent", f->agent_id),
                    RL_TEXT("error", job->err.message));
        f->is_stale = job->rc == RL_E_UNAVAILABLE;
    }
    if (f->is_locked && f->call)
        rl_rpc_end(f->call, RL_E_DENIED, "locked");
    if (f->is_stale && f->call && job->rc == RL_OK)
        start_policy(f);
}

static void start_policy(struct follower *f)
{
    if (!f->call || !f->is_attached)
        return;
    if (f->is_sending) {
        f->is_stale = true;
        return;
    }
    struct job *job = job_create(f, work_policy, finish_policy);
    job->held = rl_message_copy(&f->held->base);
    f->is_sending = true;
    f->is_stale = false;
    job_submit(job);
}

static void take_held(struct follower *f, const Pb__PolicyHeld *held)
{
    f->held->held_version = held->version;
    rl_message_bytes(&f->held->held_sha256, RL_BINARY(held->sha256));
    if (held->version)
        rl_message_bytes(&f->held->nonce, RL_SPAN(NULL, 0)); /* it has a floor now */
    else
        start_policy(f); /* what was sent did not fit: the whole */
}

void rl_follow_revision(struct rl_follow *follow, const struct rl_snapshot *snapshot)
{
    struct rl_error err;
    for (struct follower *f = follow->followers, *next; f; f = next) {
        next = f->next;
        f->is_locked = rl_instance_check_locks(snapshot, f->agent_id, f->node_name,
                                               rl_clock_wall_ns(), &err) != RL_OK;
        if (f->is_locked && !f->is_attached)
            end_call(f, &err);
        else if (f->held->held_version != snapshot->revision)
            start_policy(f);
    }
}

void rl_follow_audit(struct rl_follow *follow, const char *address)
{
    if (!*address || (follow->audit_address && strcmp(follow->audit_address, address) == 0))
        return;
    free(follow->audit_address);
    follow->audit_address = rl_strdup(address);
    for (struct follower *f = follow->followers, *next; f; f = next) {
        next = f->next;
        send_audit_place(f);
    }
}

void rl_follow_drain(struct rl_follow *follow)
{
    char reason[] = "auth is going away";
    Pb__Drain drain = PB__DRAIN__INIT;
    drain.reason = reason;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_DRAIN;
    message.drain = &drain;
    for (struct follower *f = follow->followers, *next; f; f = next) {
        next = f->next;
        if (!f->call)
            continue;
        send_message(f, &message);
        rl_rpc_end(f->call, RL_E_UNAVAILABLE, reason);
    }
}

void rl_follow_statement(struct rl_follow *follow, const Pb__SignedStatement *statement)
{
    for (struct follower *f = follow->followers, *next; f; f = next) {
        next = f->next;
        if (f->call)
            send_statement(f, statement);
        if (f->is_stale && !f->is_sending)
            start_policy(f); /* the last time it could not be made */
    }
}

/* ---- attaching ---- */

static void work_offer(struct job *job)
{
    struct follower *f = job->follower;
    struct rl_auth *auth = f->follow->auth;
    struct rl_attach_offer offer = {.agent_id = f->agent_id};
    job->rc = rl_attach_offer(auth, auth->id, &offer, 1, &job->err);
    if (job->rc != RL_OK)
        return;
    job->rc = offer.err.code;
    job->err = offer.err;
    job->epoch = offer.epoch;
}

static void finish_offer(struct job *job)
{
    struct follower *f = job->follower;
    if (job->rc != RL_OK) {
        end_call(f, &job->err);
        return;
    }
    f->epoch = job->epoch;
    rl_random(f->nonce, sizeof f->nonce);
    Pb__Challenge challenge = PB__CHALLENGE__INIT;
    challenge.broker_id = f->follow->auth->id;
    challenge.epoch = f->epoch;
    challenge.nonce = (ProtobufCBinaryData){sizeof f->nonce, f->nonce};
    challenge.protocol = RL_PROTOCOL;
    challenge.protocol_min = RL_PROTOCOL_MIN;
    Pb__BrokerMessage message = PB__BROKER_MESSAGE__INIT;
    message.body_case = PB__BROKER_MESSAGE__BODY_CHALLENGE;
    message.challenge = &challenge;
    send_message(f, &message);
}

static void work_detach(struct job *job)
{
    struct follower *f = job->follower;
    struct rl_auth *auth = f->follow->auth;
    job->rc = rl_attach_end(auth, f->agent_id, auth->id, job->epoch, job->reason, &job->err);
}

static void finish_detach(struct job *job)
{
    if (job->rc != RL_OK)
        rl_log_warn("a detachment was not recorded", RL_TEXT("agent", job->follower->agent_id),
                    RL_TEXT("error", job->err.message));
}

static void start_detach(struct follower *f, const char *reason)
{
    struct job *job = job_create(f, work_detach, finish_detach);
    job->reason = rl_strdup(reason);
    job_submit(job);
}

static void work_hello(struct job *job)
{
    struct follower *f = job->follower;
    struct rl_auth *auth = f->follow->auth;
    struct rl_attachment attachment = {
        .agent_id = f->agent_id,
        .holder_id = auth->id,
        .peer_address = f->peer_address,
        .epoch = job->epoch,
        .hello = job->hello,
        .is_direct = true,
    };
    job->rc = rl_attach_record(auth, &attachment, 1, &job->err);
    if (job->rc == RL_OK && attachment.err.code != RL_OK) {
        job->rc = attachment.err.code;
        job->err = attachment.err;
    }
}

static void finish_hello(struct job *job)
{
    struct follower *f = job->follower;
    if (job->rc != RL_OK) {
        end_call(f, &job->err);
        return;
    }
    if (!f->call) {
        start_detach(f, "it went away while it attached");
        return;
    }
    f->is_attached = true;
    rl_log_info("a direct node follows", RL_TEXT("agent", f->agent_id),
                RL_NUMBER("epoch", f->epoch), RL_TEXT("peer", f->peer_address));
    send_welcome(f);
    send_audit_place(f);
    start_policy(f);
}

/* The nonce is this connection's: a hello of another can not be used here. */
static rl_code read_hello(struct follower *f, const Pb__SignedHello *signed_hello,
                          struct rl_error *err)
{
    Pb__Hello *hello = pb__hello__unpack(NULL, signed_hello->hello.len, signed_hello->hello.data);
    if (!hello)
        return rl_fail(err, RL_E_INVAL, "the hello can not be read");
    rl_code rc = RL_OK;
    if (!rl_span_equal_secret(RL_BINARY(hello->nonce), RL_SPAN(f->nonce, sizeof f->nonce)))
        rc = rl_fail(err, RL_E_DENIED, "the hello does not answer this challenge");
    f->held->held_version = hello->policy_version;
    rl_message_bytes(&f->held->held_sha256, RL_BINARY(hello->policy_sha256));
    rl_message_bytes(&f->held->nonce, RL_BINARY(hello->policy_nonce));
    pb__hello__free_unpacked(hello, NULL);
    return rc;
}

static void take_hello(struct follower *f, const Pb__SignedHello *hello)
{
    struct rl_error err;
    if (f->epoch == 0 || f->is_attached || f->jobs) {
        rl_fail(&err, RL_E_PRECONDITION, "a hello answers one challenge, once");
        end_call(f, &err);
        return;
    }
    if (read_hello(f, hello, &err) != RL_OK) {
        end_call(f, &err);
        return;
    }
    struct job *job = job_create(f, work_hello, finish_hello);
    job->hello = rl_message_copy(&hello->base);
    job_submit(job);
}

/* ---- the call ---- */

void rl_follow_opened(struct rl_follow *follow, struct rl_rpc_call *call)
{
    const struct rl_rpc_peer *peer = rl_rpc_peer(call);
    if (follow->count >= RL_FOLLOWERS_MAX) {
        rl_rpc_end(call, RL_E_EXHAUSTED, "too many direct nodes follow this replica");
        return;
    }
    struct follower *f = rl_alloc(sizeof *f);
    f->follow = follow;
    f->call = call;
    strncpy(f->agent_id, peer->identity->name, sizeof f->agent_id - 1);
    f->peer_address = rl_strdup(peer->address ? peer->address : "");
    f->node_name = rl_strdup(peer->identity->claims->node_name);
    f->held = rl_message_create(&pb__policy_for_request__descriptor);
    rl_message_text(&f->held->agent_id, f->agent_id);
    f->next = follow->followers;
    f->link = &follow->followers;
    if (f->next)
        f->next->link = &f->next;
    follow->followers = f;
    rl_metric_set(follow->auth->metrics.followers, (int64_t)++follow->count);
    rl_rpc_set_data(call, f);
    job_submit(job_create(f, work_offer, finish_offer));
}

void rl_follow_message(struct rl_follow *follow, struct rl_rpc_call *call,
                       const Pb__AgentMessage *message)
{
    (void)follow;
    struct follower *f = rl_rpc_data(call);
    if (!f)
        return;
    if (message->body_case == PB__AGENT_MESSAGE__BODY_HELLO)
        take_hello(f, message->hello);
    else if (message->body_case == PB__AGENT_MESSAGE__BODY_POLICY_HELD && f->is_attached)
        take_held(f, message->policy_held);
}

void rl_follow_closed(struct rl_follow *follow, struct rl_rpc_call *call, const char *reason)
{
    (void)follow;
    struct follower *f = rl_rpc_data(call);
    if (!f)
        return;
    f->call = NULL;
    if (f->is_attached) {
        f->is_attached = false;
        f->jobs++; /* stays until the detachment was submitted */
        start_detach(f, reason);
        f->jobs--;
    }
    forget(f);
}
