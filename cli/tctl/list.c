/* list: the resources of one kind as a table, and the end of one of them. */
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>

static json_t *shown(const Pb__GetResourcesResponse *found, const struct tctl_listing *listing,
                     const char *cluster)
{
    json_t *array = json_array();
    for (size_t i = 0; i < found->n_resources; i++) {
        json_t *object = listing->json(found->resources[i], cluster);
        if (object)
            json_array_append_new(array, object);
    }
    return array;
}

rl_code tctl_list(struct tctl_client *client, const struct tctl_listing *listing,
                  const char *format_name, struct rl_error *err)
{
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    char *kind = rl_strdup(listing->kind);
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    request.kind = kind;
    request.with_roots = true; /* where there is anything of theirs */
    rl_code rc = tctl_format(format_name, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    if (rc == RL_OK) {
        json_t *array = shown((const Pb__GetResourcesResponse *)reply, listing, client->cluster);
        rc = rl_output_table(stdout, format, array, listing->columns, listing->count,
                             listing->nothing, err);
        json_decref(array);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    free(kind);
    return rc;
}

rl_code tctl_remove(struct tctl_client *client, const char *kind, const char *name,
                    struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    char *its_kind = rl_strdup(kind), *its_name = rl_strdup(name);
    Pb__DeleteResourceRequest request = PB__DELETE_RESOURCE_REQUEST__INIT;
    request.kind = its_kind;
    request.name = its_name;
    rl_code rc = tctl_call(client, "DeleteResource", &request.base, &reply, err);
    if (rc == RL_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    free(its_kind);
    free(its_name);
    return rc;
}
