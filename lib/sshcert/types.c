/* types: what key types there are. DSA, SHA-1 signatures and webauthn are left out on purpose. */
#include "types.h"

#include <string.h>

#define SUFFIX "-cert-v01@openssh.com"

static const struct key_type types[] = {
    {.name = "ssh-ed25519", .cert_name = "ssh-ed25519" SUFFIX, .family = KEY_ED25519, .fields = 1},
    {.name = "ecdsa-sha2-nistp256",
     .cert_name = "ecdsa-sha2-nistp256" SUFFIX,
     .family = KEY_ECDSA,
     .fields = 2,
     .curve = "nistp256",
     .group = "prime256v1",
     .digest = "SHA256",
     .coordinate_bytes = 33},
    {.name = "ecdsa-sha2-nistp384",
     .cert_name = "ecdsa-sha2-nistp384" SUFFIX,
     .family = KEY_ECDSA,
     .fields = 2,
     .curve = "nistp384",
     .group = "secp384r1",
     .digest = "SHA384",
     .coordinate_bytes = 49},
    {.name = "ecdsa-sha2-nistp521",
     .cert_name = "ecdsa-sha2-nistp521" SUFFIX,
     .family = KEY_ECDSA,
     .fields = 2,
     .curve = "nistp521",
     .group = "secp521r1",
     .digest = "SHA512",
     .coordinate_bytes = 67},
    {.name = "ssh-rsa", .cert_name = "ssh-rsa" SUFFIX, .family = KEY_RSA, .fields = 2},
    {.name = "sk-ssh-ed25519@openssh.com",
     .cert_name = "sk-ssh-ed25519" SUFFIX,
     .family = KEY_ED25519,
     .is_security_key = true,
     .fields = 2},
    {.name = "sk-ecdsa-sha2-nistp256@openssh.com",
     .cert_name = "sk-ecdsa-sha2-nistp256" SUFFIX,
     .family = KEY_ECDSA,
     .is_security_key = true,
     .fields = 3,
     .curve = "nistp256",
     .group = "prime256v1",
     .digest = "SHA256",
     .coordinate_bytes = 33},
};

const struct key_type *rl_key_type_by_name(struct rl_span name)
{
    for (size_t i = 0; i < RL_COUNT(types); i++)
        if (rl_span_is(name, types[i].name))
            return &types[i];
    return NULL;
}

const struct key_type *rl_key_type_by_cert_name(struct rl_span name)
{
    for (size_t i = 0; i < RL_COUNT(types); i++)
        if (rl_span_is(name, types[i].cert_name))
            return &types[i];
    return NULL;
}

const struct key_type *rl_key_type_by_group(const char *group)
{
    for (size_t i = 0; i < RL_COUNT(types); i++)
        if (types[i].group && !types[i].is_security_key && strcmp(types[i].group, group) == 0)
            return &types[i];
    return NULL;
}
