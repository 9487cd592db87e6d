/* Role maps as an administrator may write them, and names of roles as a root's certificate may have
 * them: no crash, no endless match. What a stranger's name helps to choose is a role that lists his
 * cluster; and one that the map does not name word for word is nobody's otherwise. The first line
 * is the name; each that follows is a mapping: the remote role, a tab, a local one. */
#include "authz/role_map.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define ROOT "root.example"
#define MAPPINGS_MAX 64
#define NAME_OPEN "guest" /* a role that lists the root */
#define NAME_OWN "access" /* one that does not */

struct input {
    char *name;
    Pb__RoleMapping mappings[MAPPINGS_MAX], *entries[MAPPINGS_MAX];
    char *locals[MAPPINGS_MAX];
    size_t count;
};

static void take_mapping(struct input *in, char *line)
{
    char *tab = strchr(line, '\t');
    if (!tab || in->count == MAPPINGS_MAX)
        return;
    *tab = '\0';
    Pb__RoleMapping *mapping = &in->mappings[in->count];
    pb__role_mapping__init(mapping);
    mapping->remote = line;
    in->locals[in->count] = tab + 1;
    mapping->local = &in->locals[in->count];
    mapping->n_local = 1;
    in->entries[in->count++] = mapping;
}

static bool names_word_for_word(const struct input *in, const char *role)
{
    for (size_t i = 0; i < in->count; i++)
        if (strcmp(in->locals[i], role) == 0)
            return true;
    return false;
}

static Pb__Role *make_role(char *name, Pb__Role *role, Pb__Metadata *metadata, Pb__RoleSpec *spec)
{
    pb__role__init(role);
    pb__metadata__init(metadata);
    pb__role_spec__init(spec);
    metadata->name = name;
    role->metadata = metadata;
    role->spec = spec;
    return role;
}

static void try_map(struct input *in)
{
    static char open[] = NAME_OPEN, own[] = NAME_OWN, root[] = ROOT, *roots[] = {root};
    Pb__Role role[2];
    Pb__Metadata metadata[2];
    Pb__RoleSpec spec[2];
    const Pb__Role *roles[] = {make_role(open, &role[0], &metadata[0], &spec[0]),
                               make_role(own, &role[1], &metadata[1], &spec[1])};
    spec[0].assignable_by = roots;
    spec[0].n_assignable_by = 1;
    const struct rl_role_map map = {ROOT, in->entries, in->count, roles, 2};
    const Pb__Role **out = NULL;
    size_t n = 0;
    struct rl_error err;
    rl_role_map_check(in->entries, in->count, &err);
    rl_code code = rl_role_map_apply(&map, &in->name, 1, &out, &n, &err);
    RL_ASSERT(code == RL_OK || code == RL_E_DENIED);
    RL_ASSERT(code != RL_OK || (n >= 1 && n <= 2));
    for (size_t i = 0; code == RL_OK && i < n; i++)
        RL_ASSERT(out[i] == roles[0] || names_word_for_word(in, NAME_OWN));
    if (code == RL_OK)
        free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = rl_alloc(size + 1), *rest = text;
    memcpy(text, data, size);
    struct input in = {.name = strsep(&rest, "\n")};
    while (rest)
        take_mapping(&in, strsep(&rest, "\n"));
    try_map(&in);
    free(text);
    return 0;
}
