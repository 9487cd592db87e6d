/* bundle: whom to believe, as auth said it. */
#include "enrol/enrol.h"

#include <openssl/evp.h>
#include <stdlib.h>

void rl_trust_bundle_hash(const Pb__TrustBundle *bundle, uint8_t out[32])
{
    uint8_t *packed = rl_alloc(pb__trust_bundle__get_packed_size(bundle) + 1);
    size_t n = pb__trust_bundle__pack(bundle, packed);
    RL_ASSERT(EVP_Digest(packed, n, out, NULL, EVP_sha256(), NULL) == 1);
    free(packed);
}

static rl_code add_all(struct rl_trust *trust, enum rl_identity_kind kind, const char *cluster,
                       const ProtobufCBinaryData *list, size_t count, struct rl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        rl_code code = rl_trust_add(trust, kind, cluster, RL_SPAN(list[i].data, list[i].len), err);
        if (code != RL_OK)
            return code;
    }
    return RL_OK;
}

rl_code rl_trust_from_bundle(const Pb__TrustBundle *bundle, struct rl_trust **out,
                             struct rl_error *err)
{
    struct rl_trust *trust = rl_trust_create(bundle->cluster);
    rl_code code = add_all(trust, RL_IDENTITY_SERVICE, bundle->cluster, bundle->service_cas,
                           bundle->n_service_cas, err);
    if (code == RL_OK)
        code = add_all(trust, RL_IDENTITY_AGENT, bundle->cluster, bundle->host_cas,
                       bundle->n_host_cas, err);
    if (code == RL_OK)
        code = add_all(trust, RL_IDENTITY_USER, bundle->cluster, bundle->user_cas,
                       bundle->n_user_cas, err);
    if (code == RL_OK && bundle->n_service_cas == 0)
        code = rl_fail(err, RL_E_INVAL, "no service authority is among those to trust");
    if (code == RL_OK)
        *out = trust;
    else
        rl_trust_unref(&trust);
    return code;
}
