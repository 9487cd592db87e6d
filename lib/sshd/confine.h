/* confine: takes from a room what it does not need, for good: files, other processes, new
 * descriptors, all system calls but a few.
 */
#ifndef RL_SSHD_CONFINE_H
#define RL_SSHD_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

enum rl_confine_profile { RL_CONFINE_TRANSPORT, RL_CONFINE_RELAY };

struct rl_confine {
    enum rl_confine_profile profile;
    const char *empty_dir; /* NULL: not root, so no chroot and no user id of its own */
    uid_t uid;
    unsigned fds_max;
};

/** This program's file, wherever it lies and whoever asks: no directory on the way to it is looked
 * at. By its path and not by a descriptor, which an emulator of another machine could not pass on.
 */
#define RL_CONFINE_SELF "/proc/self/exe"
/** In a room's environment, which the monitor makes from nothing: its kernel has no seccomp. */
#define RL_CONFINE_NO_SECCOMP "REMOTELER_NO_SECCOMP"
/** Whether this kernel filters system calls. */
bool rl_confine_has_seccomp(void);

/** Confines the calling process. Exit status of the room when it fails: which step it was; 0 when
 * all are done. Nothing may be served after a failure. */
int rl_confine(const struct rl_confine *what);

/** Gives up root for a user: groups, group, user, in that order, and checks that it cannot come
 * back. */
bool rl_confine_become(uid_t uid, gid_t gid, const gid_t *groups, size_t groups_n);
/** Closes `first` and every descriptor above it. */
void rl_confine_close_from(int first);
/** Every signal back to its default and none blocked: a new program starts as from a terminal. */
void rl_confine_reset_signals(void);

#endif
