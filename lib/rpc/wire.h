/* wire: gRPC's own spellings inside HTTP/2: statuses, messages, time-outs. Pure.
 * Source: grpc/doc/PROTOCOL-HTTP2.md; grpc/doc/http-grpc-status-mapping.md.
 */
#ifndef RL_RPC_WIRE_H
#define RL_RPC_WIRE_H

#include "bytes/buf.h"

#define RL_RPC_TIMEOUT_TEXT_BYTES 16

/** A grpc-message as percent-encoded text; appended. */
bool rl_rpc_message_encode(const char *message, struct rl_buf *out);
/** The reverse, from anybody: what is not UTF-8 or is a control character becomes '?', a broken
 * escape stays as it is, the rest is cut at RL_ERROR_MESSAGE_BYTES. */
void rl_rpc_message_decode(struct rl_span text, char out[RL_ERROR_MESSAGE_BYTES]);

/** A grpc-status; what is no number is RL_E_UNKNOWN. */
rl_code rl_rpc_status_parse(struct rl_span text);
/** "10S" and the like, rounded up so that the server does not give up first. */
void rl_rpc_timeout_format(uint64_t timeout_ms, char out[RL_RPC_TIMEOUT_TEXT_BYTES]);
/** Errors: RL_E_INVAL; not one to eight digits and a unit. Rounded up to a millisecond. */
rl_code rl_rpc_timeout_parse(struct rl_span text, uint64_t *timeout_ms, struct rl_error *err);

/** What an HTTP status means when the answer is not gRPC's. */
rl_code rl_rpc_code_of_http(int status);
/** What a RST_STREAM or GOAWAY code (RFC 9113, 7) means when no status came. */
rl_code rl_rpc_code_of_h2(uint32_t error);

#endif
