/* headers: gRPC's requests, responses and trailers as HTTP/2 fields.
 * Source: grpc/doc/PROTOCOL-HTTP2.md.
 */
#include "rpc/h2/h2.h"

#include "rpc/wire.h"

#include <stdlib.h>
#include <string.h>

#define GRPC "application/grpc"
#define USER_AGENT "remoteler/" RL_VERSION

/* ---- what came ---- */

static bool is_grpc(struct rl_span content_type)
{
    size_t n = sizeof GRPC - 1;
    if (content_type.n < n || memcmp(content_type.p, GRPC, n) != 0)
        return false;
    return content_type.n == n || content_type.p[n] == '+' || content_type.p[n] == ';';
}

static void request_header(struct rl_h2_stream *stream, struct rl_span name, struct rl_span value)
{
    if (rl_span_is(name, ":path")) {
        /* A longer one is no method of ours; it stays without a name. */
        if (!stream->call.path && value.n <= RL_RPC_METHOD_BYTES_MAX)
            stream->call.path = rl_span_to_string(value);
    } else if (rl_span_is(name, ":method")) {
        stream->is_post = rl_span_is(value, "POST");
    } else if (rl_span_is(name, "content-type")) {
        stream->is_grpc = is_grpc(value);
    } else if (rl_span_is(name, "grpc-timeout")) {
        stream->is_bad_timeout = rl_rpc_timeout_parse(value, &stream->timeout_ms, NULL) != RL_OK;
    }
}

static void response_header(struct rl_h2_stream *stream, struct rl_span name, struct rl_span value)
{
    if (rl_span_is(name, ":status")) {
        /* nghttp2 has checked that it is three digits. */
        stream->http_status = 0;
        for (size_t i = 0; i < value.n && i < 3; i++)
            stream->http_status = stream->http_status * 10 + (value.p[i] - '0');
    } else if (rl_span_is(name, "content-type")) {
        stream->is_grpc = is_grpc(value);
    } else if (rl_span_is(name, "grpc-status")) {
        stream->grpc_status = (int)rl_rpc_status_parse(value);
    } else if (rl_span_is(name, "grpc-message")) {
        char text[RL_ERROR_MESSAGE_BYTES];
        rl_rpc_message_decode(value, text);
        free(stream->grpc_message);
        stream->grpc_message = rl_strdup(text);
    }
}

void rl_h2_header(struct rl_h2_stream *stream, struct rl_span name, struct rl_span value)
{
    if (stream->call.is_client)
        response_header(stream, name, value);
    else
        request_header(stream, name, value);
}

/* ---- what goes ---- */

static nghttp2_nv field(const char *name, const char *value)
{
    /* nghttp2 copies both; its type only lacks the const. */
    union {
        const char *lent;
        uint8_t *bytes;
    } n = {.lent = name}, v = {.lent = value};
    return (nghttp2_nv){n.bytes, v.bytes, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

int rl_h2_submit_request(struct rl_h2_stream *stream, nghttp2_data_source_read_callback read)
{
    struct rl_h2_connection *c = stream->connection;
    char timeout[RL_RPC_TIMEOUT_TEXT_BYTES];
    const char *host = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    nghttp2_nv fields[] = {
        field(":method", "POST"),          field(":scheme", "https"),
        field(":path", stream->call.path), field(":authority", host ? host : c->address),
        field("te", "trailers"),           field("content-type", GRPC),
        field("user-agent", USER_AGENT),   field("grpc-timeout", ""),
    };
    size_t count = RL_COUNT(fields) - 1;
    int64_t left_ms = rl_rpc_remaining_ms(&stream->call);
    if (left_ms != INT64_MAX) {
        rl_rpc_timeout_format((uint64_t)left_ms, timeout);
        fields[count++] = field("grpc-timeout", timeout);
    }
    nghttp2_data_provider provider = {.source = {.ptr = NULL}, .read_callback = read};
    stream->id = nghttp2_submit_request(c->session, NULL, fields, count, &provider, stream);
    return stream->id < 0 ? stream->id : 0;
}

/* The status as fields; `message` keeps the encoded text while they are used. */
static size_t status_fields(const struct rl_rpc_call *call, char number[8], struct rl_buf *message,
                            nghttp2_nv *fields)
{
    size_t count = 0;
    snprintf(number, 8, "%d", (int)call->end_code);
    fields[count++] = field("grpc-status", number);
    if (call->end_code != RL_OK && call->end_message && *call->end_message &&
        rl_rpc_message_encode(call->end_message, message))
        fields[count++] = field("grpc-message", rl_buf_text(message));
    return count;
}

/* A request that is not gRPC at all gets an HTTP answer. */
static int submit_http_error(struct rl_h2_stream *stream)
{
    const nghttp2_nv fields[] = {field(":status", stream->is_post ? "415" : "405")};
    return nghttp2_submit_response(stream->connection->session, stream->id, fields,
                                   RL_COUNT(fields), NULL);
}

/* "Trailers-Only" when the end is known already and nothing comes before it. */
int rl_h2_submit_response(struct rl_h2_stream *stream, nghttp2_data_source_read_callback read)
{
    nghttp2_session *session = stream->connection->session;
    if (!stream->is_post || !stream->is_grpc)
        return submit_http_error(stream);
    nghttp2_nv fields[4] = {field(":status", "200"), field("content-type", GRPC)};
    if (!stream->call.is_ending || rl_rpc_call_has_message(&stream->call)) {
        nghttp2_data_provider provider = {.source = {.ptr = NULL}, .read_callback = read};
        return nghttp2_submit_response(session, stream->id, fields, 2, &provider);
    }
    char number[8];
    struct rl_buf message;
    rl_buf_init(&message, RL_RPC_STATUS_TEXT_BYTES_MAX);
    size_t count = 2 + status_fields(&stream->call, number, &message, fields + 2);
    int rc = nghttp2_submit_response(session, stream->id, fields, count, NULL);
    rl_buf_fini(&message);
    return rc;
}

int rl_h2_submit_trailer(struct rl_h2_stream *stream)
{
    nghttp2_nv fields[2];
    char number[8];
    struct rl_buf message;
    rl_buf_init(&message, RL_RPC_STATUS_TEXT_BYTES_MAX);
    size_t count = status_fields(&stream->call, number, &message, fields);
    int rc = nghttp2_submit_trailer(stream->connection->session, stream->id, fields, count);
    rl_buf_fini(&message);
    return rc;
}
