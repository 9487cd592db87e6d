/* index: the entries as messages, unpacked once. An entry that this version should understand and
 * can not read spoils the whole policy: it may be a lock. */
#include "policy/internal.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prefix;
    const ProtobufCMessageDescriptor *type;
} view_types[VIEW_COUNT] = {
    [VIEW_ROLES] = {"role/", &pb__role__descriptor},
    [VIEW_LOCKS] = {"lock/", &pb__lock__descriptor},
    [VIEW_CUTS] = {"cut/", &pb__cut__descriptor},
    [VIEW_USER_SSH_CAS] = {"ca/user-ssh/", &pb__ca_key__descriptor},
    [VIEW_LABELS] = {"label/", &pb__label__descriptor},
    [VIEW_SETTINGS] = {"setting/agent", &pb__agent_settings__descriptor},
    [VIEW_ROOTS] = {"root/", &pb__root_trust__descriptor},
};

void policy_drop_index(struct rl_policy *policy)
{
    for (size_t i = 0; i < VIEW_COUNT; i++) {
        struct view *view = &policy->views[i];
        for (size_t j = 0; j < view->count; j++)
            protobuf_c_message_free_unpacked(view->messages[j], NULL);
        free(view->messages);
        free(view->names);
        *view = (struct view){0};
    }
    free(policy->broken);
    policy->broken = NULL;
    policy->is_indexed = false;
}

/* A role is looked up by the key's end, and speaks of itself by its own name; a root cluster too.
 */
static bool has_its_own_name(const ProtobufCMessage *message, const char *name)
{
    if (message->descriptor == &pb__root_trust__descriptor)
        return strcmp(((const Pb__RootTrust *)message)->cluster, name) == 0;
    if (message->descriptor != &pb__role__descriptor)
        return true;
    const Pb__Role *role = (const Pb__Role *)message;
    return role->metadata && strcmp(role->metadata->name, name) == 0;
}

/* "setting/agent" is one entry; a longer key is another setting, of a version to come. */
static bool belongs_to(const struct entry *entry, enum view_kind kind)
{
    const char *prefix = view_types[kind].prefix;
    if (kind == VIEW_SETTINGS)
        return strcmp(entry->key, prefix) == 0;
    return strncmp(entry->key, prefix, strlen(prefix)) == 0;
}

static void add_to_view(struct rl_policy *policy, enum view_kind kind, const struct entry *entry)
{
    struct view *view = &policy->views[kind];
    const char *name = entry->key + strlen(view_types[kind].prefix);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(view_types[kind].type, NULL, entry->value_bytes, entry->value);
    if (message && has_its_own_name(message, name)) {
        view->messages[view->count] = message;
        view->names[view->count++] = name;
        return;
    }
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
    if (!policy->broken)
        policy->broken = rl_strdup(entry->key);
}

static void make_view(struct rl_policy *policy, enum view_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < policy->count; i++)
        count += belongs_to(&policy->entries[i], kind);
    struct view *view = &policy->views[kind];
    view->messages = rl_alloc_array(count, sizeof *view->messages);
    view->names = rl_alloc_array(count, sizeof *view->names);
    for (size_t i = 0; i < policy->count; i++)
        if (belongs_to(&policy->entries[i], kind))
            add_to_view(policy, kind, &policy->entries[i]);
}

/* The index is no part of what the policy says, so a const one may get it. */
static struct rl_policy *indexed(const struct rl_policy *policy)
{
    struct rl_policy *p = (struct rl_policy *)(uintptr_t)policy;
    pthread_mutex_lock(&p->lock);
    if (!p->is_indexed)
        for (enum view_kind kind = 0; kind < VIEW_COUNT; kind++)
            make_view(p, kind);
    p->is_indexed = true;
    pthread_mutex_unlock(&p->lock);
    return p;
}

const struct view *policy_view(const struct rl_policy *policy, enum view_kind kind)
{
    static const struct view empty;
    return policy ? &indexed(policy)->views[kind] : &empty;
}

rl_code policy_check_readable(const struct rl_policy *policy, struct rl_error *err)
{
    const char *broken = indexed(policy)->broken;
    return broken ? rl_fail(err, RL_E_INVAL, "the policy's entry %s can not be read", broken)
                  : RL_OK;
}

const Pb__Role *rl_policy_role(const struct rl_policy *policy, const char *name)
{
    const struct view *roles = policy_view(policy, VIEW_ROLES);
    size_t low = 0, high = roles->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(roles->names[middle], name);
        if (order == 0)
            return (const Pb__Role *)roles->messages[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void rl_policy_locks(const struct rl_policy *policy, Pb__Lock *const **locks, size_t *count)
{
    const struct view *view = policy_view(policy, VIEW_LOCKS);
    *locks = (Pb__Lock *const *)view->messages;
    *count = view->count;
}

void rl_policy_cuts(const struct rl_policy *policy, Pb__Cut *const **cuts, size_t *count)
{
    const struct view *view = policy_view(policy, VIEW_CUTS);
    *cuts = (Pb__Cut *const *)view->messages;
    *count = view->count;
}

void rl_policy_user_ssh_cas(const struct rl_policy *policy, Pb__CaKey *const **keys, size_t *count)
{
    const struct view *view = policy_view(policy, VIEW_USER_SSH_CAS);
    *keys = (Pb__CaKey *const *)view->messages;
    *count = view->count;
}

void rl_policy_roots(const struct rl_policy *policy, Pb__RootTrust *const **roots, size_t *count)
{
    const struct view *view = policy_view(policy, VIEW_ROOTS);
    *roots = (Pb__RootTrust *const *)view->messages;
    *count = view->count;
}

void rl_policy_labels(const struct rl_policy *policy, Pb__Label *const **labels, size_t *count)
{
    const struct view *view = policy_view(policy, VIEW_LABELS);
    *labels = (Pb__Label *const *)view->messages;
    *count = view->count;
}

const Pb__AgentSettings *rl_policy_settings(const struct rl_policy *policy)
{
    const struct view *view = policy_view(policy, VIEW_SETTINGS);
    return view->count ? (const Pb__AgentSettings *)view->messages[0] : NULL;
}
