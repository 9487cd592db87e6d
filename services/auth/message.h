/* message: protobuf-c messages built piece by piece on the heap. Whole ones are freed by
 * protobuf_c_message_free_unpacked(), like those that were read.
 */
#ifndef RL_AUTH_MESSAGE_H
#define RL_AUTH_MESSAGE_H

#include "bytes/buf.h"

#include <protobuf-c/protobuf-c.h>

/** A new empty message of a kind. */
void *rl_message_create(const ProtobufCMessageDescriptor *descriptor);
/** A deep copy. */
void *rl_message_copy(const ProtobufCMessage *message);
/** Replaces a string field with a copy; NULL: empty. */
void rl_message_text(char **field, const char *text);
void rl_message_bytes(ProtobufCBinaryData *field, struct rl_span bytes);
/** Appends to a repeated field: `items` is the address of its array (T *** for messages, char ***
 * for strings). Takes the item. */
void rl_message_append(void *items, size_t *count, void *item);
void rl_message_append_bytes(ProtobufCBinaryData **items, size_t *count, struct rl_span bytes);
/** Packs it behind what is in `out`; `out` says whether it fitted. */
void rl_message_pack(const ProtobufCMessage *message, struct rl_buf *out);

#define RL_BINARY(field) RL_SPAN((field).data, (field).len)

#endif
