/* logins: which operating-system accounts a role means for this person. A template yields as many
 * logins as the trait has values. Traits of another cluster's user fill external.* only, so that no
 * foreign administrator can choose a value that internal.* was written for; for a user of this
 * cluster it is the other way round.
 */
#include "authz/internal.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define OPEN "{{"
#define CLOSE "}}"

/* prefix{{internal.name}}suffix; all lengths in bytes. */
struct login_template {
    const char *prefix, *name, *suffix;
    size_t prefix_bytes, name_bytes;
    bool is_external;
};

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_template(const char *text)
{
    return strstr(text, OPEN) || strstr(text, CLOSE);
}

static bool is_trait_name(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       strchr("._/-:", c);
        if (!is_good)
            return false;
    }
    return n > 0;
}

static bool parse_template(const char *text, struct login_template *out)
{
    const char *open = strstr(text, OPEN);
    const char *close = open ? strstr(open, CLOSE) : NULL;
    if (!close || is_template(close + strlen(CLOSE)) || strstr(open + strlen(OPEN), OPEN))
        return false;
    const char *inner = open + strlen(OPEN);
    while (*inner == ' ')
        inner++;
    const char *end = close;
    while (end > inner && end[-1] == ' ')
        end--;
    bool is_external = starts_with(inner, "external.");
    if (!is_external && !starts_with(inner, "internal."))
        return false;
    const char *name = inner + strlen("internal.");
    if (name > end || !is_trait_name(name, (size_t)(end - name)))
        return false;
    *out = (struct login_template){.prefix = text,
                                   .prefix_bytes = (size_t)(open - text),
                                   .name = name,
                                   .name_bytes = (size_t)(end - name),
                                   .suffix = close + strlen(CLOSE),
                                   .is_external = is_external};
    return true;
}

rl_code login_template_check(const char *text, struct rl_error *err)
{
    struct login_template parsed;
    if (!is_template(text) || parse_template(text, &parsed))
        return RL_OK;
    return rl_fail(err, RL_E_INVAL,
                   "\"%s\" is not a template; write {{internal.NAME}} or {{external.NAME}}", text);
}

/* What to do with each login that comes out; true stops. */
typedef bool (*login_visit)(void *context, const char *login);

static bool visit_values(const struct login_template *t, const Pb__Trait *trait, login_visit visit,
                         void *context)
{
    for (size_t i = 0; i < trait->n_values; i++) {
        if (trait->values[i][0] == '\0') /* or "root{{external.x}}" would be root */
            continue;
        char *login =
            rl_sprintf("%.*s%s%s", (int)t->prefix_bytes, t->prefix, trait->values[i], t->suffix);
        bool is_done = rl_name_check_login(login, NULL) == RL_OK && visit(context, login);
        free(login);
        if (is_done)
            return true;
    }
    return false;
}

static bool visit_template(const struct login_template *t, const struct rl_authz_subject *subject,
                           login_visit visit, void *context)
{
    bool is_remote = strcmp(subject->cluster, subject->home_cluster) != 0;
    if (t->is_external != is_remote)
        return false;
    for (size_t i = 0; i < subject->trait_count; i++) {
        const Pb__Trait *trait = subject->traits[i];
        if (strlen(trait->key) == t->name_bytes &&
            memcmp(trait->key, t->name, t->name_bytes) == 0 &&
            visit_values(t, trait, visit, context))
            return true;
    }
    return false;
}

static bool visit_allowed(const struct rl_authz_subject *subject, const Pb__RoleConditions *allow,
                          login_visit visit, void *context)
{
    for (size_t i = 0; i < allow->n_logins; i++) {
        const char *text = allow->logins[i];
        struct login_template t;
        if (!is_template(text)) {
            if (rl_name_check_login(text, NULL) == RL_OK && visit(context, text))
                return true;
        } else if (parse_template(text, &t) && visit_template(&t, subject, visit, context)) {
            return true;
        }
    }
    return false;
}

static bool is_same(void *context, const char *login)
{
    const char *wanted = context;
    return strcmp(wanted, login) == 0;
}

bool login_is_allowed(const struct rl_authz_subject *subject, const Pb__RoleConditions *allow,
                      const char *login)
{
    char *wanted = rl_strdup(login);
    bool is_allowed = allow && visit_allowed(subject, allow, is_same, wanted);
    free(wanted);
    return is_allowed;
}

/* In deny a text is a pattern too, so that "*" means what it says; a template that cannot be read
 * denies every login. */
static bool denies(const struct rl_authz_subject *subject, const char *text, char *login)
{
    struct login_template t;
    if (!is_template(text))
        return rl_pattern_match(text, login, NULL) != RL_E_NOT_FOUND;
    return parse_template(text, &t) ? visit_template(&t, subject, is_same, login) : true;
}

bool login_is_denied(const struct rl_authz_subject *subject, const Pb__RoleConditions *deny,
                     const char *login)
{
    char *wanted = rl_strdup(login);
    bool is_denied = false;
    for (size_t i = 0; deny && i < deny->n_logins && !is_denied; i++)
        is_denied = denies(subject, deny->logins[i], wanted);
    free(wanted);
    return is_denied;
}

static bool add_login(void *context, const char *login)
{
    struct login_set *set = context;
    size_t at = 0;
    while (at < set->count && strcmp(set->items[at], login) < 0)
        at++;
    if (at < set->count && strcmp(set->items[at], login) == 0)
        return false;
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 8;
        char **items = rl_alloc_array(capacity, sizeof *items);
        if (set->count)
            memcpy(items, set->items, set->count * sizeof *items);
        free(set->items);
        set->items = items;
        set->capacity = capacity;
    }
    memmove(set->items + at + 1, set->items + at, (set->count - at) * sizeof *set->items);
    set->items[at] = rl_strdup(login);
    set->count++;
    return false;
}

void login_set_add_allowed(struct login_set *set, const struct rl_authz_subject *subject,
                           const Pb__RoleConditions *allow)
{
    if (allow)
        visit_allowed(subject, allow, add_login, set);
}

void login_set_fini(struct login_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i]);
    free(set->items);
    *set = (struct login_set){0};
}
