/* tunnel: the reverse tunnel's own protocol, end to end between a proxy and an agent: frames with
 * offsets, acknowledgements, tickets. Pure: bytes in, bytes out, over any stream; brokers relay it
 * unparsed but for the first frame. docs/protocols/tunnel.md, byte by byte.
 */
#ifndef RL_TUNNEL_H
#define RL_TUNNEL_H

#include "bytes/buf.h"
#include "identity/identity.h"
#include "remoteler/v1/tunnel.pb-c.h"

#define RL_TUNNEL_DATA_BYTES_MAX 16384    /* in one frame */
#define RL_TUNNEL_CONTROL_BYTES_MAX 65536 /* a frame without data */
#define RL_TUNNEL_JOIN_MS 10000           /* from open to join */
#define RL_TUNNEL_LEAF_JOIN_MS 14000      /* a leaf dials itself in between */
#define RL_TUNNEL_STREAM_ID_BYTES 16
#define RL_TUNNEL_TICKET_AGE_S_MAX 60
#define RL_TUNNEL_FEATURE_RESUME 1u /* a bit of `features` */

/* ---- frames on the wire: 5-byte gRPC prefix and a Frame ---- */

#define RL_TUNNEL_PREFIX_BYTES 5
#define RL_TUNNEL_DATA_HEADER_BYTES_MAX (RL_TUNNEL_PREFIX_BYTES + 1 + 10 + 1 + 3)
/** Bytes of the header of a data frame at offset, to be put right before its payload. The length of
 * the payload is always written in 3 bytes, so that a socket can be read into its place before
 * that length is known. */
size_t rl_frame_data_header_bytes(uint64_t offset);
/** `n` 1..RL_TUNNEL_DATA_BYTES_MAX bytes of payload follow. Returns what it wrote. */
size_t rl_frame_data_header_write(uint8_t *to, uint64_t offset, size_t n);
/** A frame without data, whole with its prefix. */
rl_code rl_frame_write(const Pb__Frame *frame, struct rl_buf *out, struct rl_error *err);

/** Takes a byte stream apart. Data is handed on as it comes, in pieces, never gathered. */
struct rl_frame_reader;
struct rl_frame_reader_ops {
    /* A piece of data, at least one byte; `offset` is of its first. All of it is taken. An error
     * ends the reading. */
    rl_code (*data)(void *context, uint64_t offset, const uint8_t *bytes, size_t n,
                    struct rl_error *err);
    /* Any frame without data (ack, eof, reset, resume, dial, join, opened); borrowed. */
    rl_code (*control)(void *context, const Pb__Frame *frame, struct rl_error *err);
};
struct rl_frame_reader *rl_frame_reader_create(const struct rl_frame_reader_ops *ops,
                                               void *context);
/** Errors: RL_E_INVAL malformed, out of limits; or a callback's. The reader takes nothing more then
 * and the stream is to be reset. Not from inside a callback, nor is the reader freed there. */
rl_code rl_frame_reader_feed(struct rl_frame_reader *reader, struct rl_span bytes,
                             struct rl_error *err);
/** The same up to the end of one frame: *taken says how far that was. For who reads the first frame
 * only and relays the rest. */
rl_code rl_frame_reader_feed_one(struct rl_frame_reader *reader, struct rl_span bytes,
                                 size_t *taken, struct rl_error *err);
/** True between frames: where a relay may begin. */
bool rl_frame_reader_is_between(const struct rl_frame_reader *reader);
/** Another stream begins: what was read of an unfinished frame is forgotten. Not in a callback. */
void rl_frame_reader_restart(struct rl_frame_reader *reader);
void rl_frame_reader_free(struct rl_frame_reader **reader);

/* ---- tickets ---- */

/** Signs with the proxy's TLS key. Owns: *out by pb__signed_ticket__free_unpacked(). */
rl_code rl_ticket_sign(const Pb__Ticket *ticket, EVP_PKEY *key, X509 *certificate,
                       Pb__SignedTicket **out, struct rl_error *err);
/** By a proxy of the trust's cluster, for this agent, fresh, not seen before. */
struct rl_ticket_check {
    struct rl_trust *trust; /* a leaf's broker: of the root's services */
    const char *agent_id;   /* who is to be meant: itself, or "cluster/LEAF" */
    /* Or by a broker of that cluster, for who comes from a root: then, and only then, the ticket
     * quotes root_cluster, root_session_id and root_proxy_id. */
    bool takes_quotes;
    int64_t now_ns;
    struct rl_ticket_seen *seen; /* nonces of the last minute; NULL: not looked at */
    struct rl_identity **signer; /* NULL: not wanted; else whose it is. Owns: rl_identity_unref() */
};
rl_code rl_ticket_verify(const Pb__SignedTicket *signed_ticket, const struct rl_ticket_check *check,
                         Pb__Ticket **out, struct rl_error *err);
struct rl_ticket_seen *rl_ticket_seen_create(size_t nonces_max);
void rl_ticket_seen_free(struct rl_ticket_seen **seen);

#endif
