/* authz, inside: what its files share. Whatever can go wrong in a pattern or a template is answered
 * by `on_error`: false in allow (it does not match), true in deny (it does).
 */
#ifndef RL_AUTHZ_INTERNAL_H
#define RL_AUTHZ_INTERNAL_H

#include "authz/authz.h"

/* ---- pattern.c ---- */

/** What the groups of a regular expression took, the first as items[0]; "" for one that took no
 * part. */
#define CAPTURES_MAX 9
struct captures {
    char *items[CAPTURES_MAX];
    size_t count;
};
void captures_fini(struct captures *captures);
/** As rl_pattern_match(). Owns: *out by captures_fini(), when it is RL_OK. */
rl_code pattern_capture(const char *pattern, const char *text, struct captures *out,
                        struct rl_error *err);
/** As rl_pattern_check(); and how many groups it has, at most CAPTURES_MAX: more do not count. */
rl_code pattern_groups(const char *pattern, size_t *out, struct rl_error *err);

/* ---- labels.c ---- */

/** Every key of `want` matches. An empty `want` matches nothing. */
bool labels_match(size_t want_count, Pb__LabelMatch *const *want, size_t label_count,
                  Pb__Label *const *labels, bool on_error);

/* ---- logins.c ---- */

/** Sorted, without repeats; every login in it passed rl_name_check_login. */
struct login_set {
    char **items;
    size_t count, capacity;
};
void login_set_fini(struct login_set *set);
/** Adds what `allow` lists, with the subject's traits filled in. */
void login_set_add_allowed(struct login_set *set, const struct rl_authz_subject *subject,
                           const Pb__RoleConditions *allow);
bool login_is_allowed(const struct rl_authz_subject *subject, const Pb__RoleConditions *allow,
                      const char *login);
bool login_is_denied(const struct rl_authz_subject *subject, const Pb__RoleConditions *deny,
                     const char *login);
/** Only exact text, or one "{{internal.NAME}}" or "{{external.NAME}}" with text around it. */
rl_code login_template_check(const char *text, struct rl_error *err);

/* ---- options.c ---- */

/** This version knows every field and word of the role: only then may it allow anything. */
bool role_is_understood(const Pb__Role *role);
const char *role_name(const Pb__Role *role);
bool options_are_understood(const Pb__RoleOptions *options);
/** What no role at all grants. Each role that applies narrows it and widens it; `options` may be
 * NULL: a role that says nothing. */
void grant_init(struct rl_authz_grant *grant);
void grant_narrow(struct rl_authz_grant *grant, const Pb__RoleOptions *options);
void grant_widen(struct rl_authz_grant *grant, const Pb__RoleOptions *options);
/** What a role asks of a session that this version does not enforce, "require_session_mfa".
 * Returns how many. */
#define NOT_ENFORCED_MAX 2
size_t options_not_enforced(const Pb__RoleOptions *options, const char *names[NOT_ENFORCED_MAX]);
bool record_mode_is_known(const char *mode);
bool lock_mode_is_known(const char *mode);

/* ---- rules.c ---- */

extern const char *const authz_kinds[]; /* NULL-terminated */
extern const char *const authz_verbs[];
bool word_is_listed(const char *word, const char *const *list);

#endif
