#include "identity.h"

#include "enrol/enrol.h"
#include "file/file.h"

#include <stdlib.h>

static rl_code read_file(const struct tsh_profile *profile, const char *name, struct rl_buf *out,
                         struct rl_error *err)
{
    char *path = tsh_profile_path(profile, name);
    rl_code rc = rl_file_read(path, out, err);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in; run tsh login --proxy=%s",
                     tsh_profile_text(profile, "proxy"));
    free(path);
    return rc;
}

rl_code tsh_identity(const struct tsh_profile *profile, struct rl_tls_identity **identity,
                     struct rl_trust **trust, struct rl_error *err)
{
    struct rl_buf chain, key;
    Pb__TrustBundle *bundle = NULL;
    rl_buf_init(&chain, TSH_FILE_BYTES_MAX);
    rl_buf_init(&key, TSH_FILE_BYTES_MAX);
    rl_code rc = tsh_profile_trust(profile, &bundle, err);
    if (rc == RL_OK)
        rc = rl_trust_from_bundle(bundle, trust, err);
    if (rc == RL_OK && (rc = read_file(profile, "tls.pem", &chain, err)) == RL_OK &&
        (rc = read_file(profile, "tls.key", &key, err)) == RL_OK)
        rc = rl_tls_identity_create_pem(rl_buf_span(&chain), rl_buf_span(&key), identity, err);
    if (rc != RL_OK)
        rl_trust_unref(trust);
    if (bundle)
        pb__trust_bundle__free_unpacked(bundle, NULL);
    rl_buf_fini(&chain);
    rl_buf_fini(&key);
    return rc;
}
