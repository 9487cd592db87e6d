/* A policy with a role, labels and an authority, and somebody who asks it. */
#ifndef RL_POLICY_TESTS_ASKED_H
#define RL_POLICY_TESTS_ASKED_H

#include "sealed.h"

#define OWN_KEY "the key of " CLUSTER

static struct signer signer;
static struct rl_policy *policy;
static Pb__IdentityClaims *claims;
static struct rl_policy_ssh request;

static inline void push_text(size_t *count, char ***list, const char *text)
{
    char **longer = rl_alloc_array(*count + 1, sizeof *longer);
    if (*count)
        memcpy(longer, *list, *count * sizeof *longer);
    free(*list);
    *list = longer;
    longer[(*count)++] = rl_strdup(text);
}

/* A role that allows {{internal.logins}} and `deploy` where env=dev. */
static inline void set_role(const char *name, const char *lock_mode)
{
    Pb__Role *role = rl_alloc(sizeof *role);
    pb__role__init(role);
    role->metadata = rl_alloc(sizeof *role->metadata);
    pb__metadata__init(role->metadata);
    role->metadata->name = rl_strdup(name);
    role->spec = rl_alloc(sizeof *role->spec);
    pb__role_spec__init(role->spec);
    Pb__RoleConditions *allow = role->spec->allow = rl_alloc(sizeof *allow);
    pb__role_conditions__init(allow);
    push_text(&allow->n_logins, &allow->logins, "{{internal.logins}}");
    push_text(&allow->n_logins, &allow->logins, "deploy");
    Pb__LabelMatch *match = rl_alloc(sizeof *match);
    pb__label_match__init(match);
    match->key = rl_strdup("env");
    push_text(&match->n_values, &match->values, "dev");
    allow->node_labels = rl_alloc_array(1, sizeof *allow->node_labels);
    allow->node_labels[allow->n_node_labels++] = match;
    role->spec->options = rl_alloc(sizeof *role->spec->options);
    pb__role_options__init(role->spec->options);
    role->spec->options->lock = rl_strdup(lock_mode);
    char *key = rl_sprintf("role/%s", name);
    set_message(policy, key, &role->base);
    free(key);
    pb__role__free_unpacked(role, NULL);
}

static inline void set_authority(const char *entry, const char *id, const char *key)
{
    Pb__CaKey ca = PB__CA_KEY__INIT;
    ca.id = (char *)(uintptr_t)id;
    ca.public_key.data = (uint8_t *)(uintptr_t)key;
    ca.public_key.len = strlen(key);
    set_message(policy, entry, &ca.base);
}

static inline void set_label(const char *value)
{
    char key[] = "env", *copy = rl_strdup(value);
    Pb__Label label = PB__LABEL__INIT;
    label.key = key;
    label.value = copy;
    set_message(policy, "label/env", &label.base);
    free(copy);
}

static inline void set_settings(uint64_t max_age_s)
{
    char name[] = "node-a", cluster[] = CLUSTER;
    Pb__AgentSettings settings = PB__AGENT_SETTINGS__INIT;
    settings.node_name = name;
    settings.cluster = cluster;
    settings.policy_max_age_s = max_age_s;
    set_message(policy, "setting/agent", &settings.base);
}

static inline void set_lock(const char *kind, const char *target, const char *cluster)
{
    char *texts[] = {rl_strdup(kind), rl_strdup(target), rl_strdup(cluster)};
    Pb__Lock lock = PB__LOCK__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    spec.target_kind = texts[0];
    spec.target_name = texts[1];
    spec.target_cluster = texts[2];
    lock.spec = &spec;
    set_message(policy, "lock/l", &lock.base);
    for (size_t i = 0; i < RL_COUNT(texts); i++)
        free(texts[i]);
}

static inline void make_claims(void)
{
    claims = rl_alloc(sizeof *claims);
    pb__identity_claims__init(claims);
    claims->format = 1;
    claims->cluster = rl_strdup(CLUSTER);
    claims->user = rl_strdup("alice");
    claims->issued_at_ns = NOW - 10 * SECOND;
    push_text(&claims->n_roles, &claims->roles, "gone");
    push_text(&claims->n_roles, &claims->roles, "access");
    Pb__Trait *trait = rl_alloc(sizeof *trait);
    pb__trait__init(trait);
    trait->key = rl_strdup("logins");
    push_text(&trait->n_values, &trait->values, "alice");
    claims->traits = rl_alloc_array(1, sizeof *claims->traits);
    claims->traits[claims->n_traits++] = trait;
}

static inline void setup(void)
{
    make_signer(&signer, "policy-1");
    policy = rl_policy_create();
    set_authority("ca/user-ssh/k1", "k1", OWN_KEY);
    set_role("access", "");
    set_label("dev");
    set_settings(0);
    make_claims();
    request = (struct rl_policy_ssh){.claims = claims,
                                     .authority = rl_span_of(OWN_KEY),
                                     .node_id = AGENT,
                                     .login = "alice",
                                     .client_address = "192.0.2.1",
                                     .now_ns = NOW + 60 * SECOND,
                                     .statement_age_s = 30,
                                     .statement_policy_version = 5};
}

static inline void teardown(void)
{
    pb__identity_claims__free_unpacked(claims, NULL);
    rl_policy_unref(&policy);
    free_signer(&signer);
}

static inline void replace(char **field, const char *text)
{
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = rl_strdup(text);
}

/* Seals the policy as version 5 and asks it. */
static inline void expect(rl_code want, const char *part)
{
    free_update(seal(policy, NULL, 5, &signer));
    struct rl_authz_grant grant = {.max_sessions = 77};
    struct rl_error err = {0};
    rl_code code = rl_policy_decide_ssh(policy, &request, &grant, &err);
    ck_assert_msg(code == want, "%s: %s", rl_code_name(code), err.message);
    ck_assert_msg(!part || strstr(err.message, part) != NULL, "%s: lacks %s", err.message, part);
    ck_assert_uint_eq(grant.max_sessions, want == RL_OK ? 0 : 77);
}

#endif
