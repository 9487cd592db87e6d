/* kinds: what tctl knows, and which of it has a message in this version. */
#include "resource/internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"user",
                                    "role",
                                    "token",
                                    "node",
                                    "app",
                                    "kube_cluster",
                                    "trusted_cluster",
                                    "remote_cluster",
                                    "lock",
                                    "ca",
                                    "connector",
                                    "cluster_config",
                                    "access_request",
                                    "session",
                                    NULL};

const char *const *rl_resource_kinds(void)
{
    return kinds;
}

const char *rl_resource_kind_of(const char *text)
{
    for (size_t i = 0; kinds[i]; i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(text, kinds[i], n) == 0 && (text[n] == '\0' || strcmp(text + n, "s") == 0))
            return kinds[i];
    }
    return NULL;
}

const ProtobufCFieldDescriptor *kind_field(const char *kind)
{
    return protobuf_c_message_descriptor_get_field_by_name(&pb__resource__descriptor, kind);
}

bool rl_resource_kind_is_here(const char *kind)
{
    return kind_field(kind) != NULL;
}

const ProtobufCFieldDescriptor *resource_field(const Pb__Resource *resource)
{
    if (resource->kind_case == PB__RESOURCE__KIND__NOT_SET)
        return NULL;
    return protobuf_c_message_descriptor_get_field(&pb__resource__descriptor,
                                                   (unsigned)resource->kind_case);
}

ProtobufCMessage *resource_message(const Pb__Resource *resource)
{
    const ProtobufCFieldDescriptor *field = resource_field(resource);
    if (!field)
        return NULL;
    ProtobufCMessage *const *message = member_in(&resource->base, field->offset);
    return *message;
}

ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = rl_alloc(type->sizeof_message);
    protobuf_c_message_init(type, message);
    return message;
}

const char *rl_resource_kind(const Pb__Resource *resource)
{
    const ProtobufCFieldDescriptor *field = resource_field(resource);
    return field ? field->name : "";
}

Pb__Metadata *rl_resource_metadata(const Pb__Resource *resource)
{
    const ProtobufCMessage *message = resource_message(resource);
    if (!message)
        return NULL;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "metadata");
    Pb__Metadata *const *metadata = member_in(message, field->offset);
    return *metadata;
}

const char *rl_resource_name(const Pb__Resource *resource)
{
    const Pb__Metadata *metadata = rl_resource_metadata(resource);
    return metadata ? metadata->name : "";
}
