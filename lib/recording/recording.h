/* recording: what a session's terminal showed, and when, as parts that can each be read alone. A
 * part is one frame of zstd over records; docs/protocols/recording.md has the bytes. Pure.
 *
 * Input is never recorded: there is no record for it.
 */
#ifndef RL_RECORDING_H
#define RL_RECORDING_H

#include "bytes/buf.h"

#define RL_RECORDING_RAW_BYTES_MAX 131072u            /* of a part's records */
#define RL_RECORDING_PART_BYTES_MAX (131072u + 1024u) /* of its frame: it may not compress */
#define RL_RECORDING_MERGE_US 5000                    /* outputs closer than this are one record */
#define RL_RECORDING_PARTS_MAX 16777216u              /* of one recording */

enum rl_recording_type {
    RL_RECORDING_OUTPUT = 'o',
    RL_RECORDING_RESIZE = 'r',
};

struct rl_recording_record {
    enum rl_recording_type type;
    uint64_t time_us;      /* since the recording began; never less than the one before */
    struct rl_span output; /* lent by the decoder */
    uint16_t columns, rows;
};

/* ---- writing: all memory is taken when it is created ---- */

struct rl_recording_encoder;
struct rl_recording_encoder *rl_recording_encoder_create(void);
void rl_recording_encoder_free(struct rl_recording_encoder **encoder);
/** How many bytes of output still fit into this part, in one record. */
size_t rl_recording_room(const struct rl_recording_encoder *encoder);
/** At most rl_recording_room() bytes (asserted). */
void rl_recording_add_output(struct rl_recording_encoder *encoder, uint64_t time_us,
                             struct rl_span output);
/** A resize always fits when a byte of output would. */
void rl_recording_add_resize(struct rl_recording_encoder *encoder, uint64_t time_us,
                             uint16_t columns, uint16_t rows);
bool rl_recording_is_empty(const struct rl_recording_encoder *encoder);
/** Appends the frame of what was added, at most RL_RECORDING_PART_BYTES_MAX bytes, and starts over.
 */
void rl_recording_encoder_finish(struct rl_recording_encoder *encoder, struct rl_buf *frame);

/* ---- reading ---- */

/** Is it one whole frame of a size that a part may have? Looks at headers only. Errors: RL_E_INVAL.
 */
rl_code rl_recording_check_frame(struct rl_span frame, struct rl_error *err);

struct rl_recording_decoder;
struct rl_recording_decoder *rl_recording_decoder_create(void);
void rl_recording_decoder_free(struct rl_recording_decoder **decoder);
/** Takes the place of the part before. Every record is looked at: after RL_OK all can be read.
 * Errors: RL_E_DATA_LOSS: damaged, or not a part; then it has no records. */
rl_code rl_recording_decode(struct rl_recording_decoder *decoder, struct rl_span frame,
                            struct rl_error *err);
/** The next record; false: no more. */
bool rl_recording_next(struct rl_recording_decoder *decoder, struct rl_recording_record *out);

#endif
