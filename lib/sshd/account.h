/* account: a login as the system knows it, without NSS: the agent is a static binary. The files
 * come first; who is not in them is asked of `getent`, where there is one, for directory users.
 */
#ifndef RL_SSHD_ACCOUNT_H
#define RL_SSHD_ACCOUNT_H

#include "sshd/sshd.h"

#define ACCOUNT_GROUPS_MAX 1024
#define ACCOUNT_PATH_BYTES_MAX 1024

struct account {
    char name[RL_SSHD_LOGIN_BYTES_MAX];
    char home[ACCOUNT_PATH_BYTES_MAX];
    char shell[ACCOUNT_PATH_BYTES_MAX];
    uid_t uid;
    gid_t gid;
    gid_t groups[ACCOUNT_GROUPS_MAX]; /* gid first */
    size_t groups_n;
};

struct account_sources {
    const char *passwd, *group, *shadow;
    const char *nologin[2]; /* a text why the system takes no logins now; NULL: none */
    const char *getent;     /* NULL: none */
};

/** Those of the system. */
struct account_sources rl_account_system_sources(void);

/** Errors: RL_E_NOT_FOUND: no such login here; RL_E_UNAVAILABLE: the files cannot be read */
rl_code rl_account_find(const struct account_sources *from, const char *login, struct account *out,
                        struct rl_error *err);
/** Whether the account may be used now: it has not expired, the system takes logins, and its
 * shell is there. A locked password is no locked account (passwd(1), -l); a shell such as nologin
 * is run and speaks for itself. Errors: RL_E_DENIED with the reason, in words for the user */
rl_code rl_account_check(const struct account_sources *from, const struct account *account,
                         int64_t now_s, struct rl_error *err);
/** Whether its shell is one that only says no: what needs no shell is refused by that too. */
bool rl_account_takes_no_sessions(const struct account *account);
/** The id of a group; -1 when there is none. */
int64_t rl_account_group_id(const struct account_sources *from, const char *name);

#endif
