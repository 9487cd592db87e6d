#include "clusters.h"

#include "leaves.h"
#include "sshconfig.h"

rl_code tsh_clusters_ask(struct tsh_client *client, const struct tsh_profile *profile,
                         bool *changed, Pb__ListClustersResponse **out, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__ListClustersRequest request = PB__LIST_CLUSTERS_REQUEST__INIT;
    rl_code rc = tsh_client_call(client, &pb__session__descriptor, "ListClusters", &request.base,
                                 &reply, err);
    if (rc != RL_OK)
        return rc;
    rc = tsh_leaves_keep(profile, (const Pb__ListClustersResponse *)reply, changed, err);
    if (rc == RL_OK && out)
        *out = (Pb__ListClustersResponse *)reply;
    else
        protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

rl_code tsh_clusters_refresh(const struct tsh_profile *profile, bool *changed,
                             Pb__ListClustersResponse **out, struct rl_error *err)
{
    struct tsh_client client = {0};
    Pb__ListClustersResponse *said = NULL;
    bool is_other = false;
    rl_code rc = tsh_client_open_own(profile, "auth", &client, err);
    if (rc == RL_OK)
        rc = tsh_clusters_ask(&client, profile, &is_other, &said, err);
    tsh_client_close(&client);
    if (rc == RL_OK && is_other)
        rc = tsh_sshconfig_write(profile->home, err);
    if (rc == RL_OK && changed)
        *changed = is_other;
    if (rc == RL_OK && out)
        *out = said;
    else if (said)
        pb__list_clusters_response__free_unpacked(said, NULL);
    return rc;
}
