/* Patterns, login templates and whole roles as anybody may write them: no crash, no endless match,
 * and nothing that the check takes may then be an error in a decision. The first line is a pattern,
 * the second a text; the rest is a packed role. */
#include "authz/authz.h"
#include "bytes/buf.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

static struct rl_span take_line(struct rl_span *rest)
{
    const uint8_t *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    struct rl_span line = RL_SPAN(rest->p, n);
    size_t used = end ? n + 1 : n;
    *rest = RL_SPAN(rest->p + used, rest->n - used);
    return line;
}

static void try_pattern(const char *pattern, const char *text)
{
    struct rl_error err;
    rl_code check = rl_pattern_check(pattern, &err);
    rl_code match = rl_pattern_match(pattern, text, &err);
    FUZZ_EXPECT(check == RL_OK || match == RL_E_INVAL);
}

static void try_role(const Pb__Role *role, const char *login, const char *value)
{
    Pb__Label label, *labels[] = {&label};
    Pb__Trait trait, *traits[] = {&trait};
    pb__label__init(&label);
    pb__trait__init(&trait);
    char key[] = "env", logins_key[] = "logins";
    char *copy = rl_strdup(value), *trait_values[] = {copy};
    label.key = key;
    label.value = copy;
    trait.key = logins_key;
    trait.n_values = 1;
    trait.values = trait_values;
    struct rl_authz_subject subject = {.user = "alice", .cluster = "a.example", .mfa = "otp"};
    subject.home_cluster = "a.example";
    subject.role_count = subject.trait_count = 1;
    subject.roles = &role;
    subject.traits = traits;
    struct rl_authz_target node = {"id", "node-a", 1, labels};
    struct rl_authz_grant grant;
    struct rl_authz_rule_grant rule;
    struct rl_error err;
    bool is_allowed = rl_authz_ssh(&subject, &node, login, &grant, &err) == RL_OK;
    FUZZ_EXPECT(!is_allowed || rl_authz_sees_node(&subject, &node));
    char **logins;
    size_t count;
    rl_authz_node_logins(&subject, &node, &logins, &count);
    for (size_t i = 0; i < count; i++)
        free(logins[i]);
    free(logins);
    rl_authz_rule(&subject, "session", "list", &rule, &err);
    rl_authz_check_role(role, NULL, &err);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_span rest = RL_SPAN(data, size);
    char *pattern = rl_span_to_string(take_line(&rest));
    char *text = rl_span_to_string(take_line(&rest));
    if (pattern && text) {
        try_pattern(pattern, text);
        Pb__Role *role = pb__role__unpack(NULL, rest.n, rest.p);
        if (role)
            try_role(role, text, pattern);
        pb__role__free_unpacked(role, NULL);
    }
    free(pattern);
    free(text);
    return 0;
}
