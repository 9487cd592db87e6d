/* traits: --logins=X,Y and --traits=k=v,... as a user's traits. */
#ifndef TCTL_TRAITS_H
#define TCTL_TRAITS_H

#include "remoteler/v1/resource.pb-c.h"
#include "settings/settings.h"

#define TCTL_TRAITS_MAX 64 /* keys */

struct tctl_traits {
    Pb__Trait *items[TCTL_TRAITS_MAX];
    size_t count;
};

/** Logins are the trait "logins"; a key that comes again gets another value. Errors: RL_E_INVAL.
 * Owns: by tctl_traits_fini(), after an error too. */
rl_code tctl_traits_parse(const struct rl_text_list *logins, const struct rl_text_list *pairs,
                          struct tctl_traits *out, struct rl_error *err);
void tctl_traits_fini(struct tctl_traits *traits);

#endif
