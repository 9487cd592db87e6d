/* status: the one idiom for errors.
 *
 * A function that can fail returns `rl_code` and takes `struct rl_error *err` last. The code is for
 * the program, the message for the person: what was tried, on what, and what to do about it.
 * Outputs are written on success only. The codes are gRPC's, so they cross the wire unchanged.
 */
#ifndef RL_STATUS_H
#define RL_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/** Bytes of a message with its NUL; a longer one is cut at a character boundary. */
#define RL_ERROR_MESSAGE_BYTES 512

/** Source: gRPC core "Status codes and their use in gRPC". */
typedef enum rl_code {
    RL_OK = 0,
    RL_E_CANCELLED = 1,
    RL_E_UNKNOWN = 2,
    RL_E_INVAL = 3,        /* the request is wrong, whatever the state */
    RL_E_DEADLINE = 4,     /* took too long; it may have happened */
    RL_E_NOT_FOUND = 5,    /* also said where the caller may not know that it is there */
    RL_E_EXISTS = 6,       /* already there */
    RL_E_DENIED = 7,       /* known, and not allowed */
    RL_E_EXHAUSTED = 8,    /* a named limit was reached */
    RL_E_PRECONDITION = 9, /* not in this state */
    RL_E_ABORTED = 10,     /* lost a race; try the whole again */
    RL_E_RANGE = 11,       /* beyond the end */
    RL_E_UNIMPLEMENTED = 12,
    RL_E_INTERNAL = 13,    /* our fault */
    RL_E_UNAVAILABLE = 14, /* cannot be reached now; try again */
    RL_E_DATA_LOSS = 15,
    RL_E_UNAUTHENTICATED = 16, /* who is this? */
} rl_code;

struct rl_error {
    rl_code code;
    char message[RL_ERROR_MESSAGE_BYTES];
};

/** Fills `err` (may be NULL) and returns `code`, so that `return rl_fail(err, RL_E_INVAL, "...")`
 * is the whole error path. `code` is not RL_OK. */
rl_code rl_fail(struct rl_error *err, rl_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
rl_code rl_vfail(struct rl_error *err, rl_code code, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

/** As rl_fail, with ": strerror(errno)" at the end. */
rl_code rl_fail_errno(struct rl_error *err, rl_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Puts "what: " before the message that is there, keeping the code; returns that code. */
rl_code rl_error_prefix(struct rl_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The code's name in gRPC's spelling, "PERMISSION_DENIED"; never NULL. */
const char *rl_code_name(rl_code code);

/** A number from a peer as a code: what is not one is RL_E_UNKNOWN. */
rl_code rl_code_from_number(long number);

#ifdef __clang_analyzer__ /* which can not see that what failed is never RL_OK */
#define rl_fail(err, code, ...) ((void)(rl_fail)((err), (code), __VA_ARGS__), (code))
#define rl_fail_errno(err, code, ...) ((void)(rl_fail_errno)((err), (code), __VA_ARGS__), (code))
#endif

/** An assertion that stays on in release. For a caller's bug only: nothing that a peer, a file or
 * a database says may reach one. */
#define RL_ASSERT(claim) ((claim) ? (void)0 : rl_assert_failed(#claim, __FILE__, __LINE__))
_Noreturn void rl_assert_failed(const char *claim, const char *file, int line);

/** Allocation for small fixed objects: ends the process with a message when memory is refused.
 * Sizes that a peer chooses go through rl_buf, which reports instead. */
void *rl_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *rl_alloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
char *rl_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *rl_sprintf(const char *format, ...)
    __attribute__((format(printf, 1, 2), malloc, returns_nonnull));

#define RL_COUNT(array) (sizeof(array) / sizeof *(array))

#endif
