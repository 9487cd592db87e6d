/* options: what several roles say together about one session, and what of it this version can keep.
 * The strictest word wins wherever two roles differ on how a session is watched. */
#include "authz/internal.h"

#include <string.h>

static bool is_message_understood(const ProtobufCMessage *message);

static const void *member(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static bool is_field_understood(const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return true;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        const ProtobufCMessage *const *one = member(message, field->offset);
        return !*one || is_message_understood(*one);
    }
    const size_t *count = member(message, field->quantifier_offset);
    const ProtobufCMessage *const *const *all = member(message, field->offset);
    for (size_t i = 0; i < *count; i++)
        if (!is_message_understood((*all)[i]))
            return false;
    return true;
}

static bool is_message_understood(const ProtobufCMessage *message)
{
    if (message->n_unknown_fields > 0)
        return false;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        if (!is_field_understood(message, &message->descriptor->fields[i]))
            return false;
    return true;
}

static const char *const record_modes[] = {[RL_RECORD_OFF] = "off",
                                           [RL_RECORD_BEST_EFFORT] = "best_effort",
                                           [RL_RECORD_STRICT] = "strict"};

bool record_mode_is_known(const char *mode)
{
    for (size_t i = 0; i < RL_COUNT(record_modes); i++)
        if (strcmp(mode, record_modes[i]) == 0)
            return true;
    return mode[0] == '\0';
}

bool lock_mode_is_known(const char *mode)
{
    return mode[0] == '\0' || strcmp(mode, "best_effort") == 0 || strcmp(mode, "strict") == 0;
}

/* A bound of zero has no meaning that all agree on ("none", "nothing"), so it has none here. */
bool options_are_understood(const Pb__RoleOptions *o)
{
    if (!o)
        return true;
    if (!is_message_understood(&o->base))
        return false;
    const Pb__RecordSession *record = o->record_session;
    if (record &&
        !(record_mode_is_known(record->default_mode) && record_mode_is_known(record->ssh)))
        return false;
    return lock_mode_is_known(o->lock) &&
           !(o->has_max_session_ttl_s && o->max_session_ttl_s == 0) &&
           !(o->has_client_idle_timeout_s && o->client_idle_timeout_s == 0) &&
           !(o->has_max_sessions && o->max_sessions == 0);
}

bool role_is_understood(const Pb__Role *role)
{
    return is_message_understood(&role->base) &&
           (!role->spec || options_are_understood(role->spec->options));
}

const char *role_name(const Pb__Role *role)
{
    return role->metadata ? role->metadata->name : "";
}

/* `ssh` if it is said, else `default`, else best_effort. */
static unsigned record_ssh(const Pb__RoleOptions *options)
{
    const Pb__RecordSession *record = options ? options->record_session : NULL;
    const char *mode = record ? (record->ssh[0] ? record->ssh : record->default_mode) : "";
    for (unsigned i = 0; i < RL_COUNT(record_modes); i++)
        if (strcmp(mode, record_modes[i]) == 0)
            return i;
    return RL_RECORD_BEST_EFFORT;
}

static uint64_t smaller_bound(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a ? a : b;
    return a < b ? a : b;
}

void grant_init(struct rl_authz_grant *grant)
{
    *grant = (struct rl_authz_grant){.ssh_file_copy = true, .record_ssh = RL_RECORD_OFF};
}

static void add_bounds(struct rl_authz_grant *grant, const Pb__RoleOptions *o)
{
    if (o->has_max_session_ttl_s)
        grant->max_session_ttl_s = smaller_bound(grant->max_session_ttl_s, o->max_session_ttl_s);
    if (o->has_client_idle_timeout_s)
        grant->client_idle_timeout_s =
            smaller_bound(grant->client_idle_timeout_s, o->client_idle_timeout_s);
    if (o->has_max_sessions)
        grant->max_sessions = (uint32_t)smaller_bound(grant->max_sessions, o->max_sessions);
}

void grant_narrow(struct rl_authz_grant *grant, const Pb__RoleOptions *o)
{
    unsigned record = record_ssh(o);
    if (record > (unsigned)grant->record_ssh)
        grant->record_ssh = record;
    if (!o)
        return;
    add_bounds(grant, o);
    grant->ssh_file_copy &= !o->has_ssh_file_copy || o->ssh_file_copy;
    grant->disconnect_expired_cert |= o->has_disconnect_expired_cert && o->disconnect_expired_cert;
    grant->require_session_mfa |= o->has_require_session_mfa && o->require_session_mfa;
    grant->pin_source_ip |= o->has_pin_source_ip && o->pin_source_ip;
    grant->is_lock_strict |= strcmp(o->lock, "strict") == 0;
}

void grant_widen(struct rl_authz_grant *grant, const Pb__RoleOptions *o)
{
    if (!o)
        return;
    grant->port_forwarding |= o->has_port_forwarding && o->port_forwarding;
    grant->forward_agent |= o->has_forward_agent && o->forward_agent;
}

size_t options_not_enforced(const Pb__RoleOptions *o, const char *names[NOT_ENFORCED_MAX])
{
    size_t n = 0;
    if (!o)
        return n;
    if (o->has_require_session_mfa && o->require_session_mfa)
        names[n++] = "require_session_mfa";
    if (o->has_pin_source_ip && o->pin_source_ip)
        names[n++] = "pin_source_ip";
    return n;
}

uint64_t rl_authz_session_ttl_s(const struct rl_authz_subject *subject, uint64_t fallback_s)
{
    struct rl_authz_grant grant;
    grant_init(&grant);
    for (size_t i = 0; i < subject->role_count; i++)
        if (subject->roles[i]->spec && subject->roles[i]->spec->options)
            add_bounds(&grant, subject->roles[i]->spec->options);
    return grant.max_session_ttl_s ? grant.max_session_ttl_s : fallback_s;
}
