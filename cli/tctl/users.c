#include "clock/clock.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRAITS_MAX 64

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

/* ---- traits ---- */

/* The trait of that key in the list, made if it is not there. */
static Pb__Trait *trait_of(Pb__Trait **traits, size_t *count, const char *key, struct rl_error *err)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(traits[i]->key, key) == 0)
            return traits[i];
    if (*count == TRAITS_MAX) {
        rl_fail(err, RL_E_INVAL, "too many traits; at most %d", TRAITS_MAX);
        return NULL;
    }
    Pb__Trait *trait = rl_alloc(sizeof *trait);
    pb__trait__init(trait);
    trait->key = rl_strdup(key);
    return traits[(*count)++] = trait;
}

static void add_value(Pb__Trait *trait, const char *value)
{
    char **values = rl_alloc_array(trait->n_values + 1, sizeof *values);
    for (size_t i = 0; i < trait->n_values; i++)
        values[i] = trait->values[i];
    values[trait->n_values++] = rl_strdup(value);
    free(trait->values);
    trait->values = values;
}

static rl_code read_traits(const struct user_settings *s, Pb__Trait **traits, size_t *count,
                           struct rl_error *err)
{
    for (size_t i = 0; i < s->logins.count; i++) {
        Pb__Trait *trait = trait_of(traits, count, "logins", err);
        if (!trait)
            return RL_E_INVAL;
        add_value(trait, s->logins.items[i]);
    }
    for (size_t i = 0; i < s->traits.count; i++) {
        const char *equals = strchr(s->traits.items[i], '=');
        if (!equals || equals == s->traits.items[i])
            return rl_fail(err, RL_E_INVAL, "--traits: \"%s\" is not k=v", s->traits.items[i]);
        char *key = rl_sprintf("%.*s", (int)(equals - s->traits.items[i]), s->traits.items[i]);
        Pb__Trait *trait = trait_of(traits, count, key, err);
        free(key);
        if (!trait)
            return RL_E_INVAL;
        add_value(trait, equals + 1);
    }
    return RL_OK;
}

static void free_traits(Pb__Trait **traits, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pb__trait__free_unpacked(traits[i], NULL);
}

/* ---- shown ---- */

static json_t *logins_of(const Pb__UserSpec *spec)
{
    for (size_t i = 0; i < spec->n_traits; i++)
        if (strcmp(spec->traits[i]->key, "logins") == 0)
            return tctl_texts(spec->traits[i]->values, spec->traits[i]->n_values);
    return json_array();
}

static json_t *user_json(const Pb__User *user)
{
    const Pb__UserSpec *spec = user->spec;
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o, s:o}", "name", user->metadata->name, "roles",
                     tctl_texts(spec->roles, spec->n_roles), "logins", logins_of(spec), "traits",
                     tctl_traits(spec->traits, spec->n_traits), "status",
                     user->status ? user->status->state : "active", "locked_until",
                     tctl_time_or_null(user->status ? user->status->locked_until_ns : 0), "created",
                     tctl_time_or_null(user->metadata->created_ns));
}

static const struct rl_column user_columns[] = {
    {"USER", "name"},
    {"ROLES", "roles"},
    {"LOGINS", "logins"},
    {"STATUS", "status"},
    {"LOCKED UNTIL", "locked_until"},
    {"CREATED", "created"},
};

static rl_code show_invitation(const Pb__InvitationIssued *issued, const char *format_name,
                               struct rl_error *err)
{
    enum rl_format format;
    rl_code rc = tctl_format(format_name, &format, err);
    if (rc != RL_OK)
        return rc;
    if (format == RL_FORMAT_TEXT) {
        char until[RL_CLOCK_TEXT_BYTES];
        rl_clock_format(issued->expires_ns, until);
        printf("%s is invited until %s. To be run by that person:\n\n    tsh signup '%s'\n",
               issued->user->metadata->name, until, issued->invite_url);
        return RL_OK;
    }
    const Pb__UserSpec *spec = issued->user->spec;
    json_t *object = json_pack(
        "{s:s, s:o, s:o, s:o, s:s, s:s, s:o}", "name", issued->user->metadata->name, "roles",
        tctl_texts(spec->roles, spec->n_roles), "logins", logins_of(spec), "traits",
        tctl_traits(spec->traits, spec->n_traits), "invite_url", issued->invite_url, "invite_token",
        issued->invite_token, "expires", tctl_time_or_null(issued->expires_ns));
    rc = rl_output_value(stdout, format, object, err);
    json_decref(object);
    return rc;
}

/* ---- the commands ---- */

static rl_code add_user(struct tctl_client *client, const void *settings,
                        const struct rl_positionals *rest, struct rl_error *err)
{
    const struct user_settings *s = settings;
    Pb__Trait *traits[TRAITS_MAX];
    size_t count = 0;
    ProtobufCMessage *reply = NULL;
    Pb__AddUserRequest request = PB__ADD_USER_REQUEST__INIT;
    rl_code rc = read_traits(s, traits, &count, err);
    if (rc == RL_OK && s->roles.count == 0)
        rc = rl_fail(err, RL_E_INVAL, "which roles? say --roles=A,B");
    if (rc == RL_OK) {
        request.name = rest->items[0];
        request.n_roles = s->roles.count;
        request.roles = s->roles.items;
        request.n_traits = count;
        request.traits = traits;
        rc = tctl_call(client, "AddUser", &request.base, &reply, err);
    }
    if (rc == RL_OK) {
        rc = show_invitation((const Pb__InvitationIssued *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    free_traits(traits, count);
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
    json_t *object = user_json(user);
    rc = rl_output_object(stdout, format, object, user_columns, RL_COUNT(user_columns), err);
    json_decref(object);
    return rc;
}

static rl_code update_user(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    const struct user_settings *s = settings;
    Pb__Trait *traits[TRAITS_MAX];
    size_t count = 0;
    ProtobufCMessage *reply = NULL;
    Pb__UpdateUserRequest request = PB__UPDATE_USER_REQUEST__INIT;
    rl_code rc = read_traits(s, traits, &count, err);
    if (rc == RL_OK && !s->roles.count && !count && !s->unlock)
        rc = rl_fail(err, RL_E_INVAL,
                     "nothing to change: say --roles, --logins, --traits or "
                     "--unlock");
    if (rc == RL_OK) {
        request.name = rest->items[0];
        request.set_roles = s->roles.count > 0;
        request.n_roles = s->roles.count;
        request.roles = s->roles.items;
        request.n_set_traits = count;
        request.set_traits = traits;
        request.unlock = s->unlock;
        rc = tctl_call(client, "UpdateUser", &request.base, &reply, err);
    }
    if (rc == RL_OK) {
        rc = show_user((const Pb__User *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    free_traits(traits, count);
    return rc;
}

static rl_code list_users(struct tctl_client *client, const void *settings,
                          const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct user_settings *s = settings;
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    char kind[] = "user", all[] = "";
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    request.kind = kind;
    request.name = all;
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__GetResourcesResponse *found = (const Pb__GetResourcesResponse *)reply;
    json_t *array = json_array();
    for (size_t i = 0; i < found->n_resources; i++)
        if (found->resources[i]->kind_case == PB__RESOURCE__KIND_USER)
            json_array_append_new(array, user_json(found->resources[i]->user));
    rc = rl_output_table(stdout, format, array, user_columns, RL_COUNT(user_columns), "No users.",
                         err);
    json_decref(array);
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static rl_code remove_user(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    ProtobufCMessage *reply = NULL;
    char kind[] = "user";
    Pb__DeleteResourceRequest request = PB__DELETE_RESOURCE_REQUEST__INIT;
    request.kind = kind;
    request.name = rest->items[0];
    rl_code rc = tctl_call(client, "DeleteResource", &request.base, &reply, err);
    if (rc == RL_OK) {
        fprintf(stderr, "%s is removed; certificates that it holds are void.\n", rest->items[0]);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
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

#define COMMAND(variable, its_spec, least, its_work)                                               \
    static const struct tctl_command variable = {                                                  \
        .spec = &(its_spec),                                                                       \
        .bytes = sizeof(struct user_settings),                                                     \
        .positional_min = least,                                                                   \
        .missing = "which user?",                                                                  \
        .work = its_work,                                                                          \
    }
COMMAND(add_command, add_spec, 1, add_user);
COMMAND(ls_command, ls_spec, 0, list_users);
COMMAND(update_command, update_spec, 1, update_user);
COMMAND(reset_command, reset_spec, 1, reset_user);
COMMAND(rm_command, rm_spec, 1, remove_user);

static const struct tctl_subcommand users_commands[] = {
    {"add", &add_command, "invite a user"},
    {"ls", &ls_command, "every user"},
    {"update", &update_command, "change roles, traits, or end a lock-out"},
    {"reset", &reset_command, "void everything that a user holds, and invite again"},
    {"rm", &rm_command, "remove a user"},
};
const struct tctl_group tctl_users = {"users", users_commands, RL_COUNT(users_commands)};
