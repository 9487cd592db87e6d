/* message: strings and lists of messages. */
#include "message.h"
#include "status/memory.h"

#include <stdlib.h>
#include <string.h>

void *rl_message_create(const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = rl_alloc(descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, message);
    return message;
}

void *rl_message_copy(const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = rl_alloc(n);
    protobuf_c_message_pack(message, packed);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, n, packed);
    free(packed);
    RL_ASSERT(copy); /* what was packed here can be unpacked here */
    return copy;
}

void rl_message_text(char **field, const char *text)
{
    char *copy = text && *text ? rl_strdup(text) : (char *)(uintptr_t)protobuf_c_empty_string;
    if (*field != protobuf_c_empty_string)
        free(*field);
    *field = copy;
}

void rl_message_bytes(ProtobufCBinaryData *field, struct rl_span bytes)
{
    uint8_t *copy = NULL;
    if (bytes.n) {
        copy = rl_alloc(bytes.n);
        memcpy(copy, bytes.p, bytes.n);
    }
    free(field->data);
    *field = (ProtobufCBinaryData){bytes.n, copy};
}

void rl_message_append(void *items, size_t *count, void *item)
{
    void *array;
    memcpy(&array, items, sizeof array);
    void *grown = reallocarray(array, *count + 1, sizeof item);
    RL_NEED_MEMORY(grown, 0);
    memcpy((char *)grown + *count * sizeof item, &item, sizeof item);
    memcpy(items, &grown, sizeof grown);
    (*count)++;
    /* cppcheck-suppress memleak ; it lies in *items now */
}

void rl_message_append_bytes(ProtobufCBinaryData **items, size_t *count, struct rl_span bytes)
{
    ProtobufCBinaryData *grown = reallocarray(*items, *count + 1, sizeof *grown);
    RL_NEED_MEMORY(grown, 0);
    grown[*count] = (ProtobufCBinaryData){0, NULL};
    rl_message_bytes(&grown[*count], bytes);
    *items = grown;
    (*count)++;
}

void rl_message_pack(const ProtobufCMessage *message, struct rl_buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *to = rl_buf_reserve(out, n);
    if (to)
        out->n += protobuf_c_message_pack(message, to);
}
