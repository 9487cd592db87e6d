/* locks: a stop for a user, role, node, login or device, now and until it is taken back. */
#include "clock/clock.h"
#include "names/names.h"
#include "tctl.h"

#include <stdlib.h>
#include <string.h>

struct lock_settings {
    char *user, *role, *node, *login, *mfa_device;
    char *message, *format;
    uint64_t ttl_s;
};

#define AT(field) offsetof(struct lock_settings, field)
#define ROW_FORMAT                                                                                 \
    {                                                                                              \
        .name = "format", .type = RL_SETTING_TEXT, .offset = AT(format), .fallback = "text",       \
        .help = "text, json or yaml"                                                               \
    }

static const struct rl_setting lock_rows[] = {
    {.name = "user", .type = RL_SETTING_TEXT, .offset = AT(user), .help = "this user"},
    {.name = "role", .type = RL_SETTING_TEXT, .offset = AT(role), .help = "whoever has this role"},
    {.name = "node",
     .type = RL_SETTING_TEXT,
     .offset = AT(node),
     .help = "this node, by name or id: nobody gets in"},
    {.name = "login",
     .type = RL_SETTING_TEXT,
     .offset = AT(login),
     .help = "this operating-system login, on every node"},
    {.name = "mfa-device",
     .type = RL_SETTING_TEXT,
     .offset = AT(mfa_device),
     .help = "what was logged in with: alice/otp"},
    {.name = "ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(ttl_s),
     .min = 1,
     .max = 315360000,
     .help = "for how long; until it is taken back"},
    {.name = "message",
     .type = RL_SETTING_TEXT,
     .offset = AT(message),
     .help = "why: those whom it stops read it"},
    ROW_FORMAT,
};
static const struct rl_setting show_rows[] = {ROW_FORMAT};

static json_t *lock_json(const Pb__Lock *lock)
{
    if (!lock || !lock->metadata || !lock->spec)
        return NULL;
    json_t *target = json_pack("{s:o, s:o}", "kind", rl_json_text(lock->spec->target_kind), "name",
                               rl_json_text(lock->spec->target_name));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                     rl_json_text(lock->metadata->name), "target", target, "message",
                     rl_json_text_or_null(lock->spec->message), "created_by",
                     rl_json_text_or_null(lock->spec->created_by), "created",
                     rl_json_time_or_null(lock->metadata->created_ns), "expires",
                     rl_json_time_or_null(lock->metadata->expires_ns), "origin",
                     rl_json_text_or_null(lock->spec->origin));
}

static const struct rl_column columns[] = {
    {"ID", "id"},           {"TARGET", "target.kind"},    {"NAME", "target.name"},
    {"MESSAGE", "message"}, {"CREATED BY", "created_by"}, {"EXPIRES", "expires"},
    {"ORIGIN", "origin"},
};

static rl_code get(struct tctl_client *client, const char *kind, const char *name,
                   Pb__GetResourcesResponse **out, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    request.kind = (char *)(uintptr_t)kind;
    request.name = (char *)(uintptr_t)name;
    rl_code rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    if (rc == RL_OK)
        *out = (Pb__GetResourcesResponse *)reply;
    return rc;
}

/* ---- lock ---- */

struct target {
    const char *kind, *name;
};

/* How many were given; the last of them. */
static size_t find_target(const struct lock_settings *s, struct target *out)
{
    const struct target all[] = {{"user", s->user},
                                 {"role", s->role},
                                 {"node", s->node},
                                 {"login", s->login},
                                 {"mfa_device", s->mfa_device}};
    size_t count = 0;
    for (size_t i = 0; i < RL_COUNT(all); i++) {
        if (!all[i].name)
            continue;
        *out = all[i];
        count++;
    }
    return count;
}

static rl_code check_lock(const void *settings, struct rl_error *err)
{
    const struct lock_settings *s = settings;
    struct target target;
    enum rl_format format;
    if (find_target(s, &target) != 1)
        return rl_fail(err, RL_E_INVAL,
                       "a lock has one target: --user, --role, --node, --login or --mfa-device");
    return tctl_format(s->format, &format, err);
}

/* A lock of what is not there stops nobody: whoever mistypes a name in a hurry is to know. */
static void warn_if_unknown(struct tctl_client *client, const struct target *target)
{
    struct rl_error err;
    Pb__GetResourcesResponse *found = NULL;
    bool has_kind = strcmp(target->kind, "user") == 0 || strcmp(target->kind, "role") == 0 ||
                    strcmp(target->kind, "node") == 0;
    if (has_kind && get(client, target->kind, target->name, &found, &err) == RL_E_NOT_FOUND)
        rl_output_say("tctl: warning: there is no %s \"%s\" here", target->kind, target->name);
    if (found)
        pb__get_resources_response__free_unpacked(found, NULL);
}

static rl_code put(struct tctl_client *client, const struct lock_settings *s,
                   const struct target *target, char *id, struct rl_error *err)
{
    char none[] = "";
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    Pb__Lock lock = PB__LOCK__INIT;
    Pb__Resource resource = PB__RESOURCE__INIT;
    Pb__PutResourceRequest request = PB__PUT_RESOURCE_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    metadata.name = id;
    if (s->ttl_s)
        metadata.expires_ns = rl_clock_wall_ns() + (int64_t)s->ttl_s * 1000000000;
    spec.target_kind = (char *)(uintptr_t)target->kind;
    spec.target_name = (char *)(uintptr_t)target->name;
    spec.message = s->message ? s->message : none;
    lock.metadata = &metadata;
    lock.spec = &spec;
    resource.kind_case = PB__RESOURCE__KIND_LOCK;
    resource.lock = &lock;
    request.resource = &resource;
    rl_code rc = tctl_call(client, "PutResource", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__PutResourceResponse *done = (const Pb__PutResourceResponse *)reply;
    for (size_t i = 0; i < done->n_warnings; i++)
        rl_output_say("tctl: warning: %s", done->warnings[i]);
    protobuf_c_message_free_unpacked(reply, NULL);
    return RL_OK;
}

static rl_code show_one(struct tctl_client *client, const char *id, enum rl_format format,
                        struct rl_error *err)
{
    Pb__GetResourcesResponse *found = NULL;
    rl_code rc = get(client, "lock", id, &found, err);
    if (rc != RL_OK)
        return rc;
    json_t *object = found->n_resources ? lock_json(found->resources[0]->lock) : NULL;
    if (!object)
        rc = rl_fail(err, RL_E_INTERNAL, "auth's answer is not complete");
    else if (format == RL_FORMAT_TEXT)
        rl_output_say("Locked. `tctl locks rm %s` takes it back.", id);
    else
        rc = rl_output_value(stdout, format, object, err);
    json_decref(object);
    pb__get_resources_response__free_unpacked(found, NULL);
    return rc;
}

static rl_code lock(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct lock_settings *s = settings;
    char id[RL_UUID_TEXT_BYTES];
    struct target target = {"", ""};
    enum rl_format format;
    rl_uuid7(id);
    find_target(s, &target);
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = put(client, s, &target, id, err);
    if (rc != RL_OK)
        return rc;
    warn_if_unknown(client, &target);
    return show_one(client, id, format, err);
}

/* ---- locks ---- */

static rl_code check_format(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct lock_settings *)settings)->format, &format, err);
}

static json_t *listed(const Pb__Resource *resource, const char *cluster)
{
    (void)cluster;
    return resource->kind_case == PB__RESOURCE__KIND_LOCK ? lock_json(resource->lock) : NULL;
}

static rl_code list(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    static const struct tctl_listing listing = {"lock", listed, columns, RL_COUNT(columns),
                                                "No locks."};
    return tctl_list(client, &listing, ((const struct lock_settings *)settings)->format, err);
}

static rl_code remove_lock(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    return tctl_remove(client, "lock", rest->items[0], err);
}

static const struct rl_settings_spec lock_spec = {
    .program = "tctl lock",
    .summary = "stop a user, role, node, login or device: running sessions end, new ones are "
               "refused",
    .usage = "--user=NAME|--role=NAME|--node=NAME|--login=NAME|--mfa-device=NAME [flags]",
    .example = "tctl lock --user=alice --message=\"lost laptop\"",
    .rows = lock_rows,
    .count = RL_COUNT(lock_rows),
};
static const struct rl_settings_spec ls_spec = {
    .program = "tctl locks ls",
    .summary = "the locks in force",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl locks ls",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
};
static const struct rl_settings_spec rm_spec = {
    .program = "tctl locks rm",
    .summary = "take a lock back",
    .usage = "ID",
    .example = "tctl locks rm 0192f0c1-6b70-7000-8000-000000000001",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
    .positional_max = 1,
};

const struct tctl_command tctl_lock = {
    .spec = &lock_spec, .bytes = sizeof(struct lock_settings), .check = check_lock, .work = lock};
static const struct tctl_command ls_command = {
    .spec = &ls_spec, .bytes = sizeof(struct lock_settings), .check = check_format, .work = list};
static const struct tctl_command rm_command = {.spec = &rm_spec,
                                               .bytes = sizeof(struct lock_settings),
                                               .positional_min = 1,
                                               .missing = "which lock? its id is in tctl locks ls",
                                               .work = remove_lock};
static const struct tctl_subcommand locks_commands[] = {
    {"ls", &ls_command, "the locks in force"},
    {"rm", &rm_command, "take a lock back"},
};
const struct tctl_group tctl_locks = {"locks", locks_commands, RL_COUNT(locks_commands)};
