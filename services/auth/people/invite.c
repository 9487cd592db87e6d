/* invite: invitations made, shown and used. The one-time secret is bound to the user's name at
 * rest, in the invitation as in the user's row. */
#include "people/invite.h"

#include "bytes/secret.h"
#include "credential/password.h"
#include "credential/token.h"
#include "credential/totp.h"
#include "db/cluster.h"
#include "db/users.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

#define WRAPPED_BYTES_MAX 512

rl_code rl_invite(struct rl_auth *auth, struct rl_db *db, const char *user, bool is_reset,
                  char **token, int64_t *expires_ns, struct rl_error *err)
{
    uint8_t secret[RL_TOTP_SECRET_BYTES];
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    int64_t now_ns = 0;
    struct rl_buf wrapped;
    rl_buf_init(&wrapped, WRAPPED_BYTES_MAX);
    rl_random(secret, sizeof secret);
    char *text = rl_token_create();
    struct rl_wrap_binding binding = {auth->cluster, "totp", user};
    rl_code rc = rl_token_hash(text, hash, err);
    if (rc == RL_OK)
        rc = rl_wrap(auth->wrap, &binding, RL_SPAN(secret, sizeof secret), &wrapped, err);
    if (rc == RL_OK)
        rc = rl_db_now(db, &now_ns, err);
    int64_t expires = now_ns + (int64_t)auth->settings->invitation_ttl_s * 1000000000;
    if (rc == RL_OK)
        rc = rl_invitations_add(db, RL_SPAN(hash, sizeof hash), user, rl_buf_span(&wrapped),
                                is_reset, expires, err);
    rl_wipe(secret, sizeof secret);
    rl_buf_fini(&wrapped);
    if (rc == RL_OK) {
        rl_token_free(token); /* of an attempt that lost its race */
        *token = text;
        *expires_ns = expires;
    } else {
        rl_token_free(&text);
    }
    return rc;
}

const char *rl_public_address(const struct rl_auth *auth, const struct rl_snapshot *snapshot)
{
    if (*snapshot->config->spec->public_address)
        return snapshot->config->spec->public_address;
    return auth->settings->public_address ? auth->settings->public_address : "";
}

char *rl_invite_url(const struct rl_auth *auth, const struct rl_snapshot *snapshot,
                    const char *token)
{
    const char *address = rl_public_address(auth, snapshot);
    return *address ? rl_sprintf("https://%s/invite/%s#%s", address, token,
                                 snapshot->authorities->ca_pin)
                    : rl_strdup("");
}

/* ---- using one ---- */

struct opening {
    struct rl_auth *auth;
    const char *token;
    struct rl_invitation invitation;
    struct rl_buf secret; /* unwrapped */
    /* signup */
    const Pb__SignupRequest *request;
    const char *password_hash;
    bool code_is_wrong;
};

static rl_code refuse(struct rl_error *err)
{
    return rl_fail(err, RL_E_DENIED,
                   "this invitation is unknown, used or expired; ask for a new one with `tctl "
                   "users reset`");
}

/* Finds a good invitation and unwraps its secret. */
static rl_code open_invitation(struct rl_db *db, struct opening *o, int64_t *now_ns,
                               struct rl_error *err)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    rl_invitation_fini(&o->invitation);
    rl_buf_clear(&o->secret);
    if (rl_token_hash(o->token, hash, NULL) != RL_OK)
        return refuse(err);
    rl_code rc = rl_invitations_find(db, RL_SPAN(hash, sizeof hash), &o->invitation, err);
    if (rc == RL_E_NOT_FOUND)
        return refuse(err);
    if (rc == RL_OK)
        rc = rl_db_now(db, now_ns, err);
    if (rc != RL_OK)
        return rc;
    if (o->invitation.expires_ns <= *now_ns || o->invitation.failures >= RL_INVITATION_FAILURES_MAX)
        return refuse(err);
    struct rl_wrap_binding binding = {o->auth->cluster, "totp", o->invitation.user};
    rc = rl_unwrap(o->auth->wrap, &binding, rl_buf_span(&o->invitation.totp_secret), &o->secret,
                   err);
    if (rc != RL_OK)
        err->code = RL_E_DATA_LOSS;
    return rc == RL_OK ? RL_OK : RL_E_DATA_LOSS;
}

static rl_code read_invitation(struct rl_db *db, void *context, struct rl_error *err)
{
    int64_t now_ns;
    return open_invitation(db, context, &now_ns, err);
}

static void opening_fini(struct opening *o)
{
    rl_invitation_fini(&o->invitation);
    rl_buf_fini(&o->secret);
}

rl_code rl_auth_invitation(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                           const Pb__InvitationRequest *request, Pb__InvitationResponse *reply,
                           struct rl_error *err)
{
    (void)peer;
    struct opening o = {.auth = auth, .token = request->token};
    rl_buf_init(&o.secret, RL_TOTP_SECRET_BYTES_MAX);
    rl_code rc = rl_store_transaction(auth->store, read_invitation, &o, err);
    if (rc == RL_OK) {
        char *url = rl_totp_url(auth->cluster, o.invitation.user, rl_buf_span(&o.secret));
        rl_message_text(&reply->user, o.invitation.user);
        rl_message_bytes(&reply->totp_secret, rl_buf_span(&o.secret));
        rl_message_text(&reply->otpauth_url, url);
        reply->is_reset = o.invitation.is_reset;
        reply->password_bytes_min = RL_PASSWORD_BYTES_MIN;
        rl_token_free(&url);
    }
    opening_fini(&o);
    return rc;
}

static rl_code count_failure(struct rl_db *db, struct opening *o, struct rl_error *err)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    rl_code rc = rl_token_hash(o->token, hash, err);
    o->code_is_wrong = true; /* the count has to be kept: no error here */
    return rc == RL_OK ? rl_invitations_count_failure(db, RL_SPAN(hash, sizeof hash), err) : rc;
}

static rl_code use_invitation(struct rl_db *db, void *context, struct rl_error *err)
{
    struct opening *o = context;
    int64_t now_ns = 0;
    int64_t step = -1;
    uint64_t wait_s = 0;
    o->code_is_wrong = false;
    rl_code rc = open_invitation(db, o, &now_ns, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_totp_check(rl_buf_span(&o->secret), o->request->otp, now_ns / 1000000000, -1, &step,
                       &wait_s, err);
    if (rc == RL_E_DENIED)
        return count_failure(db, o, err);
    if (rc == RL_OK)
        rc = rl_users_set_credentials(db, o->invitation.user, o->password_hash,
                                      rl_buf_span(&o->invitation.totp_secret), step, err);
    if (rc == RL_OK)
        rc = rl_invitations_remove(db, o->invitation.user, err);
    if (rc == RL_OK)
        rc = rl_failures_clear(db, o->invitation.user, err);
    return rc;
}

static void tell(struct rl_auth *auth, const struct rl_rpc_peer *peer, const char *type,
                 const char *user)
{
    Pb__Event *event = rl_auth_event(auth, type, "success", peer);
    rl_event_set(&event->user, user);
    rl_event_set(&event->user_cluster, auth->cluster);
    rl_auth_event_resource(event, "user", "", user);
    rl_auth_tell(auth, &event);
}

rl_code rl_auth_signup(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                       const Pb__SignupRequest *request, Pb__SignupResponse *reply,
                       struct rl_error *err)
{
    struct opening o = {.auth = auth, .token = request->token, .request = request};
    rl_buf_init(&o.secret, RL_TOTP_SECRET_BYTES_MAX);
    char *hash = NULL;
    /* Nothing is spent on a password for an invitation that is none. */
    rl_code rc = rl_password_check(rl_span_of(request->password), err);
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, read_invitation, &o, err);
    if (rc == RL_OK)
        rc = rl_password_hash(rl_span_of(request->password), &hash, err);
    o.password_hash = hash;
    if (rc == RL_OK)
        rc = rl_store_transaction(auth->store, use_invitation, &o, err);
    if (rc == RL_OK && o.code_is_wrong)
        rc = rl_fail(err, RL_E_INVAL,
                     "wrong code: scan the secret again, and check the time of this device");
    if (rc == RL_OK) {
        rl_message_text(&reply->user, o.invitation.user);
        tell(auth, peer, "user.password", o.invitation.user);
        tell(auth, peer, "mfa.add", o.invitation.user);
    }
    free(hash);
    opening_fini(&o);
    return rc;
}
