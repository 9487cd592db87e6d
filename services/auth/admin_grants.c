/* admin_grants: join tokens, and certificates on an administrator's word. */
#include "admin.h"

#include "credential/token.h"
#include "events.h"
#include "grant.h"
#include "invite.h"

rl_code rl_admin_add_token(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__AddTokenRequest *request, Pb__AddTokenResponse *reply,
                           struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    char *secret = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "token", "create", &caller, err);
    if (rc == RL_OK)
        rc = rl_grant_token(auth, request, caller->user, &reply->token, &secret, err);
    if (rc == RL_OK) {
        rl_message_text(&reply->secret, secret);
        rl_message_text(&reply->ca_pin, caller->snapshot->authorities->ca_pin);
        rl_message_text(&reply->public_address, rl_public_address(auth, caller->snapshot));
        Pb__Event *event = rl_auth_event(auth, "token.create", "success", peer);
        rl_auth_event_resource(event, "token", reply->token->metadata->name, "");
        rl_auth_tell(auth, &event);
    }
    rl_token_free(&secret);
    rl_caller_close(&caller);
    return rc;
}

/* Whoever may do this may be anyone: it takes the right to make authorities, not users. */
rl_code rl_admin_sign_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__SignUserRequest *request, Pb__LoginResponse *reply,
                           struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "ca", "create", &caller, err);
    if (rc == RL_OK)
        rc = rl_grant_user(auth, request, RL_SIGNED_TTL_S_MAX, reply, err);
    if (rc == RL_OK) {
        Pb__Event *event = rl_auth_event(auth, "cert.issue", "success", peer);
        rl_auth_event_resource(event, "user", "", request->user);
        rl_event_detail(event, "method", "sign");
        rl_auth_tell(auth, &event);
    }
    rl_caller_close(&caller);
    return rc;
}
