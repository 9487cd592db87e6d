/* check: the values of a document, after its shape. Auth checks again whatever tctl sends. */
#include "authz/authz.h"
#include "authz/role_map.h"
#include "names/names.h"
#include "resource/internal.h"

#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64
#define MESSAGE_BYTES_MAX 1024
#define CLUSTER_CONFIG_NAME "cluster"

typedef rl_code (*name_check)(const char *name, struct rl_error *err);

static rl_code check_uuid(const char *name, struct rl_error *err)
{
    return rl_name_is_uuid(name) ? RL_OK : rl_fail(err, RL_E_INVAL, "a node's name is its UUID");
}

static rl_code check_config_name(const char *name, struct rl_error *err)
{
    return strcmp(name, CLUSTER_CONFIG_NAME) == 0
               ? RL_OK
               : rl_fail(err, RL_E_INVAL, "there is one cluster_config, and its name is \"%s\"",
                         CLUSTER_CONFIG_NAME);
}

static rl_code check_names(const char *field, size_t count, char *const *names, name_check check,
                           struct rl_error *err)
{
    rl_code code = RL_OK;
    for (size_t i = 0; i < count && code == RL_OK; i++) {
        code = check(names[i], err);
        if (code != RL_OK)
            rl_error_prefix(err, "%s", field);
    }
    return code;
}

static rl_code check_labels(const char *field, size_t count, Pb__Label *const *labels,
                            struct rl_error *err)
{
    if (count > LABELS_MAX)
        return rl_fail(err, RL_E_INVAL, "%s: at most %d, these are %zu", field, LABELS_MAX, count);
    for (size_t i = 0; i < count; i++)
        if (rl_name_check_label(labels[i]->key, labels[i]->value, err) != RL_OK)
            return rl_error_prefix(err, "%s", field);
    return RL_OK;
}

static rl_code check_prose(const char *field, const char *text, struct rl_error *err)
{
    if (strlen(text) <= MESSAGE_BYTES_MAX)
        return RL_OK;
    return rl_fail(err, RL_E_INVAL, "%s: at most %d bytes", field, MESSAGE_BYTES_MAX);
}

static rl_code check_one_of(const char *field, const char *word, const char *const *words,
                            size_t count, struct rl_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return RL_OK;
    const char *meant = closest_word(word, words, count);
    return rl_fail(err, RL_E_INVAL, "%s: \"%.64s\" is not one%s%s%s", field, word,
                   meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

static rl_code check_optional_address(const char *field, const char *address, struct rl_error *err)
{
    char *host = NULL;
    uint16_t port;
    if (!address[0])
        return RL_OK;
    if (rl_address_split(address, &host, &port, err) != RL_OK)
        return rl_error_prefix(err, "%s", field);
    free(host);
    return RL_OK;
}

static rl_code check_trait_value(const char *value, struct rl_error *err)
{
    return rl_name_check_label("trait", value, err);
}

static rl_code check_user(const Pb__UserSpec *spec, struct rl_error *err)
{
    if (spec->n_roles > RL_AUTHZ_ROLES_MAX)
        return rl_fail(err, RL_E_INVAL, "spec.roles: at most %d", RL_AUTHZ_ROLES_MAX);
    rl_code code =
        check_names("spec.roles", spec->n_roles, spec->roles, rl_name_check_resource, err);
    if (code == RL_OK && spec->n_traits > LABELS_MAX)
        code = rl_fail(err, RL_E_INVAL, "spec.traits: at most %d", LABELS_MAX);
    for (size_t i = 0; i < spec->n_traits && code == RL_OK; i++) {
        const Pb__Trait *trait = spec->traits[i];
        code = rl_name_check_label(trait->key, "", err);
        if (code == RL_OK)
            code = check_names(trait->key, trait->n_values, trait->values, check_trait_value, err);
        if (code != RL_OK)
            rl_error_prefix(err, "spec.traits");
    }
    return code;
}

static rl_code check_token(const Pb__TokenSpec *spec, struct rl_error *err)
{
    static const char *const types[] = {"node",  "app",    "kube",           "proxy",
                                        "audit", "broker", "trusted_cluster"};
    rl_code code = RL_OK;
    if (spec->n_types == 0)
        return rl_fail(err, RL_E_INVAL, "spec.types: a token has at least one");
    for (size_t i = 0; i < spec->n_types && code == RL_OK; i++)
        code = check_one_of("spec.types", spec->types[i], types, RL_COUNT(types), err);
    if (code == RL_OK)
        code = check_names("spec.names", spec->n_names, spec->names, rl_pattern_check, err);
    if (code == RL_OK)
        code = check_labels("spec.labels", spec->n_labels, spec->labels, err);
    return code;
}

static rl_code check_lock(const Pb__LockSpec *spec, struct rl_error *err)
{
    static const char *const kinds[] = {"user", "role", "node", "login", "mfa_device"};
    rl_code code = check_one_of("spec.target_kind", spec->target_kind, kinds, RL_COUNT(kinds), err);
    if (code == RL_OK && !spec->target_name[0])
        code = rl_fail(err, RL_E_INVAL, "spec.target_name: a lock has a target");
    if (code == RL_OK && spec->target_cluster[0] && strcmp(spec->target_kind, "user") != 0)
        code = rl_fail(err, RL_E_INVAL, "spec.target_cluster: only of a user");
    if (code == RL_OK && spec->target_cluster[0])
        code = rl_name_check_cluster(spec->target_cluster, err);
    if (code == RL_OK)
        code = check_prose("spec.message", spec->message, err);
    return code;
}

static rl_code check_trusted_cluster(const Pb__TrustedClusterSpec *spec, struct rl_error *err)
{
    rl_code code = check_optional_address("spec.proxy", spec->proxy, err);
    if (code == RL_OK) {
        code = rl_role_map_check(spec->role_map, spec->n_role_map, err);
        if (code != RL_OK)
            rl_error_prefix(err, "spec.role_map");
    }
    return code;
}

static rl_code check_cluster_config(const Pb__ClusterConfigSpec *spec, struct rl_error *err)
{
    rl_code code = check_optional_address("spec.public_address", spec->public_address, err);
    return code == RL_OK ? check_prose("spec.message_of_the_day", spec->message_of_the_day, err)
                         : code;
}

static rl_code check_spec(const Pb__Resource *r, struct rl_error *err)
{
    switch (r->kind_case) {
    case PB__RESOURCE__KIND_USER:
        return r->user->spec ? check_user(r->user->spec, err) : RL_OK;
    case PB__RESOURCE__KIND_TOKEN:
        return r->token->spec ? check_token(r->token->spec, err) : RL_OK;
    case PB__RESOURCE__KIND_LOCK:
        return r->lock->spec ? check_lock(r->lock->spec, err) : RL_OK;
    case PB__RESOURCE__KIND_TRUSTED_CLUSTER:
        return r->trusted_cluster->spec ? check_trusted_cluster(r->trusted_cluster->spec, err)
                                        : RL_OK;
    case PB__RESOURCE__KIND_CLUSTER_CONFIG:
        return r->cluster_config->spec ? check_cluster_config(r->cluster_config->spec, err) : RL_OK;
    default:
        return RL_OK;
    }
}

static name_check name_rule(const Pb__Resource *resource)
{
    switch (resource->kind_case) {
    case PB__RESOURCE__KIND_USER:
        return rl_name_check_user;
    case PB__RESOURCE__KIND_NODE:
        return check_uuid;
    case PB__RESOURCE__KIND_TRUSTED_CLUSTER:
    case PB__RESOURCE__KIND_REMOTE_CLUSTER:
        return rl_name_check_cluster;
    case PB__RESOURCE__KIND_CLUSTER_CONFIG:
        return check_config_name;
    default:
        return rl_name_check_resource;
    }
}

rl_code rl_resource_check(const Pb__Resource *resource, struct rl_error *err)
{
    const Pb__Metadata *metadata = rl_resource_metadata(resource);
    if (!metadata || !metadata->name[0])
        return rl_fail(err, RL_E_INVAL, "metadata.name: missing");
    rl_code code = name_rule(resource)(metadata->name, err);
    if (code != RL_OK)
        rl_error_prefix(err, "metadata.name");
    if (code == RL_OK)
        code = check_labels("metadata.labels", metadata->n_labels, metadata->labels, err);
    if (code == RL_OK && metadata->expires_ns < 0)
        code = rl_fail(err, RL_E_INVAL, "metadata.expires: before 1970");
    return code == RL_OK ? check_spec(resource, err) : code;
}
