/* file: whole files. Read within the limit of the buffer that they go to; written whole or not at
 * all: a full disk, a crash or a power cut leaves what was there.
 */
#ifndef RL_FILE_H
#define RL_FILE_H

#include "bytes/secret.h"

#include <sys/stat.h>

/** Appends to `out`, whose maximum is the file's. Errors: RL_E_NOT_FOUND; RL_E_INVAL it can not be
 * read or is larger. */
rl_code rl_file_read(const char *path, struct rl_buf *out, struct rl_error *err);
/** The same where "-" is stdin. */
rl_code rl_file_read_input(const char *path, struct rl_buf *out, struct rl_error *err);
/** The same for keys. Errors: RL_E_DENIED others than its owner can read or write it; RL_E_INVAL
 * also for what is no regular file. */
rl_code rl_file_read_private(const char *path, struct rl_buf *out, struct rl_error *err);
/** From where the descriptor stands to its end; `path` is for the message. */
rl_code rl_file_read_fd(int fd, const char *path, struct rl_buf *out, struct rl_error *err);
/** One secret, at most bytes_max, from a file or "-"; one newline at its end is dropped. It may be
 * empty. Errors: as rl_file_read(); RL_E_INVAL it has a NUL. */
rl_code rl_file_read_secret(const char *path, size_t bytes_max, struct rl_secret **out,
                            struct rl_error *err);

/** Written beside its place, synced, moved there; mode 0600. Errors: RL_E_UNAVAILABLE. */
rl_code rl_file_write(const char *path, struct rl_span content, struct rl_error *err);
/** The same unless the file has this content and mode already: then it is not touched. */
rl_code rl_file_update(const char *path, struct rl_span content, struct rl_error *err);
/** As rl_file_write(), with the mode and the owner of `like`. */
rl_code rl_file_replace(const char *path, struct rl_span content, const struct stat *like,
                        struct rl_error *err);
/** A new file, 0600. Errors: RL_E_EXISTS; RL_E_UNAVAILABLE. */
rl_code rl_file_create(const char *path, struct rl_span content, struct rl_error *err);
/** All of it, and to the disk; false with errno. */
bool rl_file_write_fd(int fd, struct rl_span content);

#endif
