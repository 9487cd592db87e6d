/* login: the proof, and certificates for it. */
#include "people/login.h"

#include "authority/issue.h"
#include "authz/authz.h"
#include "db/cluster.h"
#include "record/events.h"

#include <stdlib.h>

struct login {
    struct rl_auth *auth;
    const Pb__LoginRequest *request;
    struct rl_snapshot *snapshot;
    Pb__LoginResponse *reply;
};

static rl_code check_locks(const struct rl_snapshot *snapshot, const char *cluster,
                           const Pb__User *user, int64_t now_ns, struct rl_error *err)
{
    const Pb__UserSpec *spec = user->spec;
    const Pb__Role **roles = rl_alloc_array(spec->n_roles, sizeof *roles);
    size_t n = 0;
    for (size_t i = 0; i < spec->n_roles; i++)
        if ((roles[n] = rl_snapshot_role(snapshot, spec->roles[i])))
            n++;
    struct rl_authz_subject subject = {
        .user = user->metadata->name,
        .cluster = cluster,
        .home_cluster = cluster,
        .roles = roles,
        .role_count = n,
        .issued_at_ns = now_ns,
        .mfa = "otp",
    };
    rl_code rc = rl_authz_locks(&subject, NULL, NULL, snapshot->locks, snapshot->lock_count, NULL,
                                0, now_ns, err);
    free(roles);
    return rc;
}

/* In the transaction that took the code: the roles are those of this moment, and a cut that comes
 * later is later than issued_at. */
static rl_code issue(struct rl_db *db, struct rl_proof *proof, void *context, struct rl_error *err)
{
    struct login *login = context;
    const Pb__User *user = proof->record->user;
    rl_code rc = check_locks(login->snapshot, login->auth->cluster, user, proof->now_ns, err);
    if (rc != RL_OK)
        return rc;
    struct rl_user_grant grant = {
        .user = user,
        .ttl_s = login->request->ttl_s,
        .ttl_max_s = RL_USER_TTL_S,
        .mfa = "otp",
        .tls_public_key = RL_BINARY(login->request->tls_public_key),
        .ssh_public_key = RL_BINARY(login->request->ssh_public_key),
        .now_ns = proof->now_ns,
    };
    Pb__LoginResponse *reply = rl_message_create(&pb__login_response__descriptor);
    rc = rl_issue_user(login->snapshot, login->auth->cluster, &grant, reply, err);
    if (rc == RL_OK)
        rc = rl_users_note_certificate(db, user->metadata->name, reply->valid_until_ns, err);
    if (login->reply)
        pb__login_response__free_unpacked(login->reply, NULL);
    login->reply = reply;
    return rc;
}

static void tell(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                 const Pb__LoginRequest *request, rl_code rc, const char *reason,
                 const struct rl_error *err)
{
    rl_metric_add(rc == RL_OK ? auth->metrics.logins_granted : auth->metrics.logins_refused, 1);
    const char *outcome = rc == RL_OK ? "success" : reason ? "failure" : "denied";
    Pb__Event *event = rl_auth_event(auth, "user.login", outcome, peer);
    rl_event_set(&event->user, request->user);
    rl_event_set(&event->user_cluster, auth->cluster);
    if (rc != RL_OK)
        rl_event_set(&event->reason, reason ? reason : err->message);
    rl_event_detail(event, "method", "local");
    rl_auth_tell(auth, &event);
}

static void tell_issued(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                        const Pb__LoginResponse *reply)
{
    Pb__Event *event = rl_auth_event(auth, "cert.issue", "success", peer);
    rl_event_set(&event->user, reply->user);
    rl_event_set(&event->user_cluster, auth->cluster);
    rl_auth_event_resource(event, "user", "", reply->user);
    rl_auth_tell(auth, &event);
}

/* What the reply is filled with was made elsewhere: an attempt may have been repeated. */
static void hand_over(Pb__LoginResponse *made, Pb__LoginResponse *reply)
{
    Pb__LoginResponse empty = *reply;
    *reply = *made;
    *made = empty;
}

rl_code rl_auth_login(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                      const Pb__LoginRequest *request, Pb__LoginResponse *reply,
                      struct rl_error *err)
{
    rl_code rc = rl_issue_check_keys(RL_BINARY(request->tls_public_key),
                                     RL_BINARY(request->ssh_public_key), err);
    struct login login = {.auth = auth, .request = request};
    if (rc == RL_OK)
        rc = rl_snapshots_current(auth->snapshots, &login.snapshot, err);
    if (rc != RL_OK)
        return rc;
    struct rl_proof proof = {
        .user = request->user, .password = request->password, .otp = request->otp};
    const char *reason = NULL;
    rc = rl_prove(auth, &proof, issue, &login, &reason, err);
    if (rc == RL_OK || rc == RL_E_DENIED)
        tell(auth, peer, request, rc, reason, err);
    if (rc == RL_OK) {
        hand_over(login.reply, reply);
        tell_issued(auth, peer, reply);
    }
    if (login.reply)
        pb__login_response__free_unpacked(login.reply, NULL);
    rl_user_record_free(&proof.record);
    rl_snapshot_unref(&login.snapshot);
    return rc;
}
