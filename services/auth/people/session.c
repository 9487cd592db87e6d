/* session: nodes, clusters and the password of whoever calls. */
#include "people/session.h"

#include "clock/clock.h"
#include "clusters/clusters.h"
#include "credential/password.h"
#include "people/login.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

rl_code rl_session_logout(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__LogoutRequest *request, Pb__LogoutResponse *reply,
                          struct rl_error *err)
{
    (void)request;
    (void)reply;
    (void)err;
    Pb__Event *event = rl_auth_event(auth, "user.logout", "success", peer);
    rl_auth_tell(auth, &event);
    return RL_OK;
}

/* ---- the password ---- */

static rl_code set_password(struct rl_db *db, struct rl_proof *proof, void *context,
                            struct rl_error *err)
{
    return rl_users_set_password(db, proof->user, context, err);
}

rl_code rl_session_change_password(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                   const Pb__ChangePasswordRequest *request,
                                   Pb__ChangePasswordResponse *reply, struct rl_error *err)
{
    (void)reply;
    struct rl_caller *caller = NULL;
    char *hash = NULL;
    const char *reason = NULL;
    rl_code rc = rl_caller_of_peer(auth, peer, &caller, err);
    if (rc == RL_OK && caller->is_remote) /* another cluster's alice is not ours */
        rc = rl_fail(err, RL_E_PRECONDITION, "your password is in cluster %s",
                     caller->subject.cluster);
    if (rc == RL_OK)
        rc = rl_password_hash(rl_span_of(request->new_password), &hash, err);
    if (rc == RL_OK) {
        struct rl_proof proof = {
            .user = caller->user, .password = request->old_password, .otp = request->otp};
        rc = rl_prove(auth, &proof, set_password, hash, &reason, err);
        rl_user_record_free(&proof.record);
    }
    if (rc == RL_OK || rc == RL_E_DENIED) {
        Pb__Event *event =
            rl_auth_event(auth, "user.password", rc == RL_OK ? "success" : "failure", peer);
        rl_auth_event_resource(event, "user", "", peer->identity->name);
        rl_event_set(&event->reason, rc == RL_OK ? "" : reason ? reason : err->message);
        rl_auth_tell(auth, &event);
    }
    free(hash);
    rl_caller_close(&caller);
    return rc;
}

/* ---- clusters ---- */

rl_code rl_session_list_clusters(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                                 const Pb__ListClustersRequest *request,
                                 Pb__ListClustersResponse *reply, struct rl_error *err)
{
    (void)request;
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_of_peer(auth, peer, &caller, err);
    if (rc != RL_OK)
        return rc;
    Pb__ClusterInfo *own = rl_message_create(&pb__cluster_info__descriptor);
    rl_message_text(&own->name, auth->cluster);
    rl_message_text(&own->type, "root");
    rl_message_text(&own->status, "online");
    own->last_seen_ns = rl_clock_wall_ns();
    rl_message_append(&reply->clusters, &reply->n_clusters, own);
    rc = rl_clusters_list(auth, caller, reply, err);
    rl_caller_close(&caller);
    return rc;
}

rl_code rl_session_authorities(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                               const Pb__AuthoritiesRequest *request, Pb__TrustBundle *reply,
                               struct rl_error *err)
{
    (void)request;
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_of_peer(auth, peer, &caller, err);
    if (rc != RL_OK)
        return rc;
    Pb__TrustBundle *copy = rl_message_copy(&caller->snapshot->authorities->bundle->base);
    Pb__TrustBundle empty = *reply;
    *reply = *copy;
    *copy = empty;
    pb__trust_bundle__free_unpacked(copy, NULL);
    rl_caller_close(&caller);
    return RL_OK;
}
