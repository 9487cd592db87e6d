#include "traits.h"
#include "status/memory.h"

#include <stdlib.h>
#include <string.h>

/* The trait of that key, made if it is not there; NULL when there are too many. */
static Pb__Trait *trait_of(struct tctl_traits *traits, const char *key, size_t n)
{
    for (size_t i = 0; i < traits->count; i++)
        if (strlen(traits->items[i]->key) == n && memcmp(traits->items[i]->key, key, n) == 0)
            return traits->items[i];
    if (traits->count == TCTL_TRAITS_MAX)
        return NULL;
    Pb__Trait *trait = rl_alloc(sizeof *trait);
    pb__trait__init(trait);
    trait->key = rl_sprintf("%.*s", (int)n, key);
    return traits->items[traits->count++] = trait;
}

static rl_code add(struct tctl_traits *traits, const char *key, size_t n, const char *value,
                   struct rl_error *err)
{
    Pb__Trait *trait = trait_of(traits, key, n);
    if (!trait)
        return rl_fail(err, RL_E_INVAL, "--traits: more than %d keys", TCTL_TRAITS_MAX);
    char **values = reallocarray(trait->values, trait->n_values + 1, sizeof *values);
    RL_NEED_MEMORY(values, 0);
    values[trait->n_values++] = rl_strdup(value);
    trait->values = values;
    return RL_OK;
}

rl_code tctl_traits_parse(const struct rl_text_list *logins, const struct rl_text_list *pairs,
                          struct tctl_traits *out, struct rl_error *err)
{
    rl_code rc = RL_OK;
    *out = (struct tctl_traits){.count = 0};
    for (size_t i = 0; rc == RL_OK && i < logins->count; i++)
        rc = add(out, "logins", strlen("logins"), logins->items[i], err);
    for (size_t i = 0; rc == RL_OK && i < pairs->count; i++) {
        const char *pair = pairs->items[i];
        size_t n = strcspn(pair, "=");
        if (n == 0 || !pair[n])
            return rl_fail(err, RL_E_INVAL, "--traits: \"%.80s\" is not k=v", pair);
        rc = add(out, pair, n, pair + n + 1, err);
    }
    return rc;
}

void tctl_traits_fini(struct tctl_traits *traits)
{
    for (size_t i = 0; i < traits->count; i++)
        pb__trait__free_unpacked(traits->items[i], NULL);
    traits->count = 0;
}
