/* directory: a state directory, held by one process, whose files are written whole or not at all.
 * Or one that only the process itself remembers. Internal to enrol.
 */
#ifndef RL_ENROL_DIRECTORY_H
#define RL_ENROL_DIRECTORY_H

#include "bytes/buf.h"

struct rl_directory;

#define RL_DIRECTORY_MEMORY_FILES_MAX 8

/** Makes it (0700) when it is not there, and takes its lock. `in_memory`: no file but the lock is
 * ever made in it, and none is read. Errors: RL_E_EXISTS another process
 * has it; RL_E_INVAL it is another's, or others may write to it. */
rl_code rl_directory_open(const char *path, bool in_memory, struct rl_directory **out,
                          struct rl_error *err);
void rl_directory_close(struct rl_directory **directory);
const char *rl_directory_path(const struct rl_directory *directory);
/** `name` is a plain file name. Mode 0600, synced to the disk before it takes the old one's place.
 */
rl_code rl_directory_write(struct rl_directory *directory, const char *name, struct rl_span content,
                           struct rl_error *err);
/** Appends to `out`. Errors: RL_E_NOT_FOUND; RL_E_INVAL no plain file, or longer than bytes_max. */
rl_code rl_directory_read(struct rl_directory *directory, const char *name, size_t bytes_max,
                          struct rl_buf *out, struct rl_error *err);

#endif
