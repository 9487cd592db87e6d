/* What the files of recording share: type (1), time in microseconds (8), length (4), then so many
 * bytes; numbers are big endian. */
#ifndef RL_RECORDING_INTERNAL_H
#define RL_RECORDING_INTERNAL_H

#include "recording/recording.h"

#define RECORD_HEAD_BYTES 13
#define RESIZE_BYTES 4

#endif
