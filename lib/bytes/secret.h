/* secret: bytes that are wiped when they go, and have no way to be printed. */
#ifndef RL_BYTES_SECRET_H
#define RL_BYTES_SECRET_H

#include "bytes/buf.h"

struct rl_secret;

/** Owns a copy of the bytes; the caller wipes its own. */
struct rl_secret *rl_secret_create(struct rl_span bytes);
/** `n` fresh random bytes. Errors: RL_E_INTERNAL when the system has none. */
rl_code rl_secret_random(size_t n, struct rl_secret **out, struct rl_error *err);
/** Wipes; takes NULL; NULLs the caller's pointer. */
void rl_secret_free(struct rl_secret **secret);
/** Borrowed until the secret is freed. */
struct rl_span rl_secret_reveal(const struct rl_secret *secret);
/** A heap copy as text, for a message's field; the caller wipes it with rl_wipe_text(). */
char *rl_secret_to_text(const struct rl_secret *secret);
/** Wipes memory that the compiler must not leave alone. */
void rl_wipe(void *p, size_t n);
/** Wipes and frees heap text; takes NULL; NULLs the caller's pointer. */
void rl_wipe_text(char **text);
/** Fills p with random bytes from the system's generator; ends the process if there is none. */
void rl_random(void *p, size_t n);

#endif
