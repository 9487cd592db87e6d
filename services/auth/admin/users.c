/* admin_users: users added, reset, changed. */
#include "admin/admin.h"

#include "credential/token.h"
#include "db/cluster.h"
#include "people/invite.h"
#include "record/events.h"

#include <stdlib.h>
#include <string.h>

static void tell(struct rl_auth *auth, const struct rl_rpc_peer *peer, const char *type,
                 const char *name)
{
    Pb__Event *event = rl_auth_event(auth, type, "success", peer);
    rl_auth_event_resource(event, "user", "", name);
    rl_auth_tell(auth, &event);
}

static void copy_traits(Pb__Trait *const *from, size_t count, Pb__UserSpec *spec)
{
    for (size_t i = 0; i < count; i++)
        rl_message_append(&spec->traits, &spec->n_traits, rl_message_copy(&from[i]->base));
}

static Pb__User *user_of(const char *name, char *const *roles, size_t role_count)
{
    Pb__User *user = rl_message_create(&pb__user__descriptor);
    user->metadata = rl_message_create(&pb__metadata__descriptor);
    user->spec = rl_message_create(&pb__user_spec__descriptor);
    rl_message_text(&user->metadata->name, name);
    for (size_t i = 0; i < role_count; i++)
        rl_message_append(&user->spec->roles, &user->spec->n_roles, rl_strdup(roles[i]));
    return user;
}

/* ---- invitations ---- */

struct inviting {
    struct rl_auth *auth;
    const char *name;
    const Pb__User *add; /* NULL: a reset */
    char *token;
    int64_t expires_ns;
    struct rl_user_record *record; /* as it is after */
};

static rl_code reset(struct rl_db *db, struct inviting *i, struct rl_error *err)
{
    struct rl_user_record *before = NULL;
    rl_code rc = rl_revision_bump(db, NULL, err);
    if (rc == RL_OK)
        rc = rl_users_find(db, i->name, true, &before, err);
    if (rc == RL_OK)
        rc = rl_user_cut(i->auth, db, before, "the user was reset", err);
    if (rc == RL_OK)
        rc = rl_users_set_credentials(db, i->name, NULL, RL_SPAN(NULL, 0), -1, err);
    if (rc == RL_OK)
        rc = rl_failures_clear(db, i->name, err);
    rl_user_record_free(&before);
    return rc;
}

static rl_code invite(struct rl_db *db, void *context, struct rl_error *err)
{
    struct inviting *i = context;
    rl_user_record_free(&i->record);
    rl_code rc = i->add ? rl_users_insert(db, i->add, err) : reset(db, i, err);
    if (rc == RL_OK)
        rc = rl_invite(i->auth, db, i->name, !i->add, &i->token, &i->expires_ns, err);
    if (rc == RL_OK)
        rc = rl_users_find(db, i->name, false, &i->record, err);
    return rc;
}

static rl_code issue_invitation(struct inviting *i, const struct rl_snapshot *snapshot,
                                Pb__InvitationIssued *reply, struct rl_error *err)
{
    rl_code rc = rl_store_transaction(i->auth->store, invite, i, err);
    if (rc == RL_OK) {
        char *url = rl_invite_url(i->auth, snapshot, i->token);
        reply->user = rl_message_copy(&i->record->user->base);
        rl_message_text(&reply->invite_token, i->token);
        rl_message_text(&reply->invite_url, url);
        reply->expires_ns = i->expires_ns;
        rl_token_free(&url);
    }
    rl_token_free(&i->token);
    rl_user_record_free(&i->record);
    return rc;
}

rl_code rl_admin_add_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                          const Pb__AddUserRequest *request, Pb__InvitationIssued *reply,
                          struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "user", "create", &caller, err);
    if (rc != RL_OK)
        return rc;
    Pb__User *user = user_of(request->name, request->roles, request->n_roles);
    copy_traits(request->traits, request->n_traits, user->spec);
    struct inviting i = {.auth = auth, .name = request->name, .add = user};
    rc = rl_user_check(caller->snapshot, user, err);
    if (rc == RL_OK)
        rc = issue_invitation(&i, caller->snapshot, reply, err);
    if (rc == RL_OK)
        tell(auth, peer, "user.create", request->name);
    pb__user__free_unpacked(user, NULL);
    rl_caller_close(&caller);
    return rc;
}

rl_code rl_admin_reset_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                            const Pb__ResetUserRequest *request, Pb__InvitationIssued *reply,
                            struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "user", "update", &caller, err);
    if (rc != RL_OK)
        return rc;
    struct inviting i = {.auth = auth, .name = request->name};
    rc = issue_invitation(&i, caller->snapshot, reply, err);
    if (rc == RL_OK)
        tell(auth, peer, "user.update", request->name);
    rl_caller_close(&caller);
    return rc;
}

/* ---- changes ---- */

struct updating {
    struct rl_auth *auth;
    const struct rl_snapshot *snapshot;
    const Pb__UpdateUserRequest *request;
    struct rl_user_record *after;
};

/* A trait that is given replaces the one of its key; without values it takes it away. */
static void set_trait(Pb__UserSpec *spec, const Pb__Trait *trait)
{
    size_t kept = 0;
    for (size_t i = 0; i < spec->n_traits; i++) {
        if (strcmp(spec->traits[i]->key, trait->key) == 0)
            pb__trait__free_unpacked(spec->traits[i], NULL);
        else
            spec->traits[kept++] = spec->traits[i];
    }
    spec->n_traits = kept;
    if (trait->n_values)
        rl_message_append(&spec->traits, &spec->n_traits, rl_message_copy(&trait->base));
}

static void apply(const Pb__UpdateUserRequest *request, Pb__User *user)
{
    Pb__UserSpec *spec = user->spec;
    if (request->set_roles) {
        while (spec->n_roles)
            free(spec->roles[--spec->n_roles]);
        for (size_t i = 0; i < request->n_roles; i++)
            rl_message_append(&spec->roles, &spec->n_roles, rl_strdup(request->roles[i]));
    }
    for (size_t i = 0; i < request->n_set_traits; i++)
        set_trait(spec, request->set_traits[i]);
}

static rl_code update(struct rl_db *db, void *context, struct rl_error *err)
{
    struct updating *u = context;
    const Pb__UpdateUserRequest *request = u->request;
    struct rl_user_record *now = NULL;
    rl_user_record_free(&u->after);
    rl_code rc = rl_users_find(db, request->name, false, &now, err);
    if (rc == RL_OK && (request->set_roles || request->n_set_traits)) {
        apply(request, now->user);
        rc = rl_user_check(u->snapshot, now->user, err);
        if (rc == RL_OK)
            rc = rl_user_replace(u->auth, db, now->user, err);
    }
    if (rc == RL_OK && request->unlock)
        rc = rl_failures_clear(db, request->name, err);
    if (rc == RL_OK)
        rc = rl_users_find(db, request->name, false, &u->after, err);
    rl_user_record_free(&now);
    return rc;
}

rl_code rl_admin_update_user(struct rl_auth *auth, const struct rl_rpc_peer *peer,
                             const Pb__UpdateUserRequest *request, Pb__User *reply,
                             struct rl_error *err)
{
    struct rl_caller *caller = NULL;
    rl_code rc = rl_caller_enter(auth, peer, "user", "update", &caller, err);
    if (rc != RL_OK)
        return rc;
    struct updating u = {auth, caller->snapshot, request, NULL};
    /* Serializable: it writes back what it read, with what was asked for in it. */
    rc = rl_store_serializable(auth->store, update, &u, err);
    if (rc == RL_OK) {
        Pb__User empty = *reply;
        *reply = *u.after->user;
        *u.after->user = empty;
        tell(auth, peer, "user.update", request->name);
    }
    rl_user_record_free(&u.after);
    rl_caller_close(&caller);
    return rc;
}
