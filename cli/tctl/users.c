#include "bytes/secret.h"
#include "clock/clock.h"
#include "names/names.h"
#include "tctl.h"
#include "traits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct user_settings {
    struct rl_text_list roles, logins, traits;
    char *format;
    bool unlock;
};

#define AT(field) offsetof(struct user_settings, field)
#define ROW_ROLES                                                                                  \
    {                                                                                              \
        .name = "roles", .type = RL_SETTING_LIST, .offset = AT(roles), .help = "roles, by commas"  \
    }
#define ROW_LOGINS                                                                                 \
    {                                                                                              \
        .name = "logins", .type = RL_SETTING_LIST, .offset = AT(logins),                           \
        .help = "the trait \"logins\": operating-system users, by commas"                          \
    }
#define ROW_TRAITS                                                                                 \
    {                                                                                              \
        .name = "traits", .type = RL_SETTING_LIST, .offset = AT(traits),                           \
        .help = "k=v; again for more"                                                              \
    }
#define ROW_FORMAT                                                                                 \
    {                                                                                              \
        .name = "format", .type = RL_SETTING_TEXT, .offset = AT(format), .fallback = "text",       \
        .help = "text, json or yaml"                                                               \
    }

static const struct rl_setting add_rows[] = {ROW_ROLES, ROW_LOGINS, ROW_TRAITS, ROW_FORMAT};
static const struct rl_setting update_rows[] = {
    ROW_ROLES,
    ROW_LOGINS,
    ROW_TRAITS,
    ROW_FORMAT,
    {.name = "unlock",
     .type = RL_SETTING_SWITCH,
     .offset = AT(unlock),
     .fallback = "no",
     .help = "end a lock-out after wrong passwords"},
};
static const struct rl_setting show_rows[] = {ROW_FORMAT};

/* ---- shown ---- */

static json_t *logins_of(const Pb__UserSpec *spec)
{
    for (size_t i = 0; i < spec->n_traits; i++)
        if (strcmp(spec->traits[i]->key, "logins") == 0)
            return rl_json_texts(spec->traits[i]->values, spec->traits[i]->n_values);
    return json_array();
}

json_t *tctl_user_json(const Pb__User *user)
{
    if (!user || !user->metadata || !user->spec)
        return NULL;
    const Pb__UserSpec *spec = user->spec;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                     rl_json_text(user->metadata->name), "roles",
                     rl_json_texts(spec->roles, spec->n_roles), "logins", logins_of(spec), "traits",
                     rl_traits_to_json(spec->traits, spec->n_traits), "status",
                     rl_json_text(user->status ? user->status->state : "active"), "locked_until",
                     rl_json_time_or_null(user->status ? user->status->locked_until_ns : 0),
                     "created", rl_json_time_or_null(user->metadata->created_ns));
}

static const struct rl_column user_columns[] = {
    {"USER", "name"},
    {"ROLES", "roles"},
    {"LOGINS", "logins"},
    {"STATUS", "status"},
    {"LOCKED UNTIL", "locked_until"},
    {"CREATED", "created"},
};

static rl_code incomplete(struct rl_error *err)
{
    return rl_fail(err, RL_E_INTERNAL, "auth's answer is not complete");
}

/* The line is pasted into a shell: the URL is quoted, and has no quote of its own. */
static rl_code print_invitation(const Pb__InvitationIssued *issued, struct rl_error *err)
{
    char until[RL_CLOCK_TEXT_BYTES];
    if (strchr(issued->invite_url, '\''))
        return incomplete(err);
    rl_clock_format(issued->expires_ns, until);
    char *name = rl_name_printable(issued->user->metadata->name);
    char *url = rl_name_printable(issued->invite_url);
    printf("%s is invited until %s. To be run by that person:\n\n    tsh signup '%s'\n", name,
           until, url);
    free(name);
    rl_wipe_text(&url);
    return RL_OK;
}

static rl_code show_invitation(const Pb__InvitationIssued *issued, const char *format_name,
                               struct rl_error *err)
{
    enum rl_format format;
    rl_code rc = tctl_format(format_name, &format, err);
    json_t *object = tctl_user_json(issued->user);
    if (rc == RL_OK && !object)
        rc = incomplete(err);
    else if (rc == RL_OK && format == RL_FORMAT_TEXT)
        rc = print_invitation(issued, err);
    else if (rc == RL_OK) {
        json_object_del(object, "status");
        json_object_del(object, "locked_until");
        json_object_del(object, "created");
        rl_json_put(object, "invite_url", rl_json_text(issued->invite_url));
        rl_json_put(object, "invite_token", rl_json_text(issued->invite_token));
        rl_json_put(object, "expires", rl_json_time_or_null(issued->expires_ns));
        rc = rl_output_value(stdout, format, object, err);
    }
    json_decref(object);
    return rc;
}

/* ---- the commands ---- */

static rl_code check_format(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct user_settings *)settings)->format, &format, err);
}

static rl_code check_add(const void *settings, struct rl_error *err)
{
    const struct user_settings *s = settings;
    if (s->roles.count == 0)
        return rl_fail(err, RL_E_INVAL, "which roles? say --roles=A,B");
    return check_format(settings, err);
}

static rl_code check_update(const void *settings, struct rl_error *err)
{
    const struct user_settings *s = settings;
    if (!s->roles.count && !s->logins.count && !s->traits.count && !s->unlock)
        return rl_fail(err, RL_E_INVAL,
                       "nothing to change: say --roles, --logins, --traits or --unlock");
    return check_format(settings, err);
}

static rl_code add_user(struct tctl_client *client, const void *settings,
                        const struct rl_positionals *rest, struct rl_error *err)
{
    const struct user_settings *s = settings;
    struct tctl_traits traits = {0};
    ProtobufCMessage *reply = NULL;
    Pb__AddUserRequest request = PB__ADD_USER_REQUEST__INIT;
    rl_code rc = tctl_traits_parse(&s->logins, &s->traits, &traits, err);
    if (rc == RL_OK) {
        request.name = rest->items[0];
        request.n_roles = s->roles.count;
        request.roles = s->roles.items;
        request.n_traits = traits.count;
        request.traits = traits.items;
        rc = tctl_call(client, "AddUser", &request.base, &reply, err);
    }
    if (rc == RL_OK) {
        rc = show_invitation((const Pb__InvitationIssued *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    tctl_traits_fini(&traits);
    return rc;
}

static rl_code reset_user(struct tctl_client *client, const void *settings,
                          const struct rl_positionals *rest, struct rl_error *err)
{
    const struct user_settings *s = settings;
    ProtobufCMessage *reply = NULL;
    Pb__ResetUserRequest request = PB__RESET_USER_REQUEST__INIT;
    request.name = rest->items[0];
    rl_code rc = tctl_call(client, "ResetUser", &request.base, &reply, err);
    if (rc == RL_OK) {
        rc = show_invitation((const Pb__InvitationIssued *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    return rc;
}

static rl_code show_user(const Pb__User *user, const char *format_name, struct rl_error *err)
{
    enum rl_format format;
    rl_code rc = tctl_format(format_name, &format, err);
    if (rc != RL_OK)
        return rc;
    json_t *object = tctl_user_json(user);
    if (!object)
        return incomplete(err);
    rc = rl_output_object(stdout, format, object, user_columns, RL_COUNT(user_columns), err);
    json_decref(object);
    return rc;
}

static rl_code update_user(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    const struct user_settings *s = settings;
    struct tctl_traits traits = {0};
    ProtobufCMessage *reply = NULL;
    Pb__UpdateUserRequest request = PB__UPDATE_USER_REQUEST__INIT;
    rl_code rc = tctl_traits_parse(&s->logins, &s->traits, &traits, err);
    if (rc == RL_OK) {
        request.name = rest->items[0];
        request.set_roles = s->roles.count > 0;
        request.n_roles = s->roles.count;
        request.roles = s->roles.items;
        request.n_set_traits = traits.count;
        request.set_traits = traits.items;
        request.unlock = s->unlock;
        rc = tctl_call(client, "UpdateUser", &request.base, &reply, err);
    }
    if (rc == RL_OK) {
        rc = show_user((const Pb__User *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    tctl_traits_fini(&traits);
    return rc;
}

static json_t *listed(const Pb__Resource *resource, const char *cluster)
{
    (void)cluster;
    return resource->kind_case == PB__RESOURCE__KIND_USER ? tctl_user_json(resource->user) : NULL;
}

static rl_code list_users(struct tctl_client *client, const void *settings,
                          const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    static const struct tctl_listing users = {"user", listed, user_columns, RL_COUNT(user_columns),
                                              "No users."};
    return tctl_list(client, &users, ((const struct user_settings *)settings)->format, err);
}

static rl_code remove_user(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    rl_code rc = tctl_remove(client, "user", rest->items[0], err);
    if (rc == RL_OK)
        rl_output_say("%s is removed; certificates that it holds are void.", rest->items[0]);
    return rc;
}

#define SPEC(variable, verb, what, how, shown, table)                                              \
    static const struct rl_settings_spec variable = {                                              \
        .program = "tctl users " verb,                                                             \
        .summary = what,                                                                           \
        .usage = how,                                                                              \
        .example = shown,                                                                          \
        .rows = table,                                                                             \
        .count = RL_COUNT(table),                                                                  \
        .positional_max = 1,                                                                       \
    }
SPEC(add_spec, "add", "invite a user", "NAME --roles=A,B [--logins=X,Y] [--traits=k=v]",
     "tctl users add alice --roles=access --logins=alice,deploy", add_rows);
SPEC(ls_spec, "ls", "every user", "[--format=text|json|yaml]", "tctl users ls", show_rows);
SPEC(update_spec, "update", "change roles, traits, or end a lock-out", "NAME [flags]",
     "tctl users update alice --unlock", update_rows);
SPEC(reset_spec, "reset", "void a user's password, codes and certificates, and invite again",
     "NAME", "tctl users reset alice", show_rows);
SPEC(rm_spec, "rm", "remove a user", "NAME", "tctl users rm alice", show_rows);

#define COMMAND(variable, its_spec, least, its_check, its_work)                                    \
    static const struct tctl_command variable = {                                                  \
        .spec = &(its_spec),                                                                       \
        .bytes = sizeof(struct user_settings),                                                     \
        .positional_min = least,                                                                   \
        .missing = "which user?",                                                                  \
        .check = its_check,                                                                        \
        .work = its_work,                                                                          \
    }
COMMAND(add_command, add_spec, 1, check_add, add_user);
COMMAND(ls_command, ls_spec, 0, check_format, list_users);
COMMAND(update_command, update_spec, 1, check_update, update_user);
COMMAND(reset_command, reset_spec, 1, check_format, reset_user);
COMMAND(rm_command, rm_spec, 1, check_format, remove_user);

static const struct tctl_subcommand users_commands[] = {
    {"add", &add_command, "invite a user"},
    {"ls", &ls_command, "every user"},
    {"update", &update_command, "change roles, traits, or end a lock-out"},
    {"reset", &reset_command, "void everything that a user holds, and invite again"},
    {"rm", &rm_command, "remove a user"},
};
const struct tctl_group tctl_users = {"users", users_commands, RL_COUNT(users_commands)};
