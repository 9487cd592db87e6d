/* recorder: the part of the relay that writes down what a terminal shows, before the user sees it.
 * Parts go to the agent, one datagram each: channel (32 bits, big-endian), then the frame
 * (recording/recording.h). When the agent takes none, the relay reads no more of the terminal.
 */
#ifndef RL_SSHD_RECORDER_H
#define RL_SSHD_RECORDER_H

#include "recording/recording.h"

#define RECORDER_PART_MS 300   /* what was shown is on its way after this */
#define RECORDER_FLUSH_MS 5000 /* for the agent to take the last part */

struct recorder {
    int fd; /* SOCK_SEQPACKET to the agent; -1: nothing is recorded (any more) */
    struct rl_recording_encoder *encoder;
    uint64_t began_us, oldest_us; /* CLOCK_MONOTONIC; of what the encoder holds */
    struct rl_buf message;        /* to be sent; empty: none */
    uint32_t channel;
};

/** Takes all memory that it will need: before the room is confined. `fd` is lent; -1: none. */
void rl_recorder_init(struct recorder *r, int fd, uint32_t channel);
/** May so much be read from the terminal now? */
bool rl_recorder_has_room(const struct recorder *r, size_t n);
void rl_recorder_output(struct recorder *r, struct rl_span output);
void rl_recorder_resize(struct recorder *r, uint16_t columns, uint16_t rows);
/** Sends what is due. Never blocks. */
void rl_recorder_step(struct recorder *r);
/** Milliseconds until something is due; -1: nothing. */
int rl_recorder_timeout_ms(const struct recorder *r);
/** Waits for the agent to take one. */
bool rl_recorder_is_sending(const struct recorder *r);
/** Sends the rest, within RECORDER_FLUSH_MS. */
void rl_recorder_finish(struct recorder *r);

#endif
