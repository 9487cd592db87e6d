/* room: starts the other rooms as fresh images of this program. What the monitor had in memory,
 * the host key above all, is not in theirs. */
#include "monitor.h"

#include "sshd/confine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HIGH_FD (RL_ROOM_FD_FIRST + ROOM_FDS_MAX) /* no higher: the limit may be low */
#define ARGUMENTS_MAX 7
#define UID_NOBODY 65534
#define EXIT_NOT_RUN 127

/* stdin, stdout and stderr lead nowhere: whoever takes a room over writes into no log. */
static void silence(void)
{
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
}

static void place(const int *fds, size_t n)
{
    int high[ROOM_FDS_MAX];
    for (size_t i = 0; i < n; i++)
        high[i] = fcntl(fds[i], F_DUPFD, HIGH_FD);
    for (size_t i = 0; i < n; i++)
        dup2(high[i], RL_ROOM_FD_FIRST + (int)i);
}

/* In the child. Only what execve() needs is left open. */
static _Noreturn void become_room(const struct monitor *m, const int *fds, size_t fds_n,
                                  char *const arguments[])
{
    rl_confine_reset_signals();
    silence();
    place(fds, fds_n);
    rl_confine_close_from(RL_ROOM_FD_FIRST + (int)fds_n);
    static char no_seccomp[] = RL_CONFINE_NO_SECCOMP "=yes";
    char *environment[] = {m->config->no_seccomp ? no_seccomp : NULL, NULL};
    execve(RL_CONFINE_SELF, arguments, environment);
    _exit(EXIT_NOT_RUN);
}

/* Whether this user namespace knows the id: one of a container may have few. Each line of its map
 * says: first id inside, first id outside, how many. */
static bool is_mapped(uid_t uid)
{
    FILE *map = fopen("/proc/self/uid_map", "re");
    if (!map)
        return true;
    char line[128];
    bool found = false;
    while (!found && fgets(line, sizeof line, map)) {
        char *at = line;
        unsigned long inside = strtoul(at, &at, 10);
        strtoul(at, &at, 10);
        unsigned long count = strtoul(at, &at, 10);
        found = uid >= inside && uid - inside < count;
    }
    fclose(map);
    return found;
}

/* One of the range by the room's own process id, so that one room can do nothing to another; where
 * the range is not there, nobody's. */
static uid_t choose_uid(const struct rl_sshd_config *config)
{
    uint32_t count = config->room_uid_count ? config->room_uid_count : 1;
    uid_t uid = config->room_uid_base + (uid_t)getpid() % count;
    return is_mapped(uid) ? uid : UID_NOBODY;
}

pid_t rl_room_start(const struct monitor *m, const char *name, const int *fds, size_t fds_n,
                    const char *argument)
{
    RL_ASSERT(fds_n <= ROOM_FDS_MAX);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char *arguments[ARGUMENTS_MAX] = {
        rl_strdup(name),
        rl_strdup(m->is_root ? m->config->empty_dir : ""),
        rl_sprintf("%u", choose_uid(m->config)),
        argument ? rl_strdup(argument) : NULL,
    };
    become_room(m, fds, fds_n, arguments);
}

pid_t rl_room_start_connector(const struct monitor *m, int fd, bool is_unix, const char *host,
                              const char *port)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char *arguments[ARGUMENTS_MAX] = {
        rl_strdup(RL_SSHD_CONNECT_NAME),
        rl_sprintf("%u", m->account.uid),
        rl_sprintf("%u", m->account.gid),
        rl_strdup(is_unix ? "unix" : "tcp"),
        rl_strdup(host),
        rl_strdup(port),
    };
    become_room(m, &fd, 1, arguments);
}

pid_t rl_room_start_listener(const struct monitor *m, int fd, enum listen_kind kind,
                             const char *host, uint16_t port)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char *arguments[ARGUMENTS_MAX] = {
        rl_strdup(RL_SSHD_LISTEN_NAME),
        rl_sprintf("%u", m->account.uid),
        rl_sprintf("%u", m->account.gid),
        rl_sprintf("%d", (int)kind),
        rl_strdup(host),
        rl_sprintf("%u", port),
    };
    become_room(m, &fd, 1, arguments);
}
