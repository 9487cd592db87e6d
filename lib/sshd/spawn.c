/* spawn: from a fork of the monitor to the user's program: signals, terminal, user, environment.
 * The environment is made here from nothing: what the client sends goes through a short list. */
#include "monitor.h"

#include "sshd/confine.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLES_MAX 64
#define FDS_SOFT_MAX                                                                               \
    1024 /* programs that select() count on it, whatever the agent raised it to                    \
          */
enum { FIRST_FREE_FD = STDERR_FILENO + 1 };

#define EXIT_NO_USER 254
#define EXIT_NOT_RUN 127
#define MOTD_BYTES_MAX 65536
#define PATH_ROOT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PATH_USER "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"

struct variables {
    char *list[VARIABLES_MAX + 1];
    size_t n;
};

static void set(struct variables *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void set(struct variables *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    if (v->n < VARIABLES_MAX && vasprintf(&text, format, args) >= 0)
        v->list[v->n++] = text;
    va_end(args);
}

/* LANG, LC_*, COLORTERM: how to speak and show. Nothing that a program would run or load by. */
static bool client_may_set(const char *variable)
{
    static const char *const whole[] = {
        "LANG=", "LANGUAGE=", "COLORTERM=", "TERM_PROGRAM=", "TERM_PROGRAM_VERSION=", "NO_COLOR="};
    for (size_t i = 0; i < RL_COUNT(whole); i++)
        if (strncmp(variable, whole[i], strlen(whole[i])) == 0)
            return true;
    size_t name_n = strcspn(variable, "=");
    return strncmp(variable, "LC_", 3) == 0 && variable[name_n] == '=' &&
           strspn(variable, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == name_n;
}

/* "NAME=value\0" each; the last one must be whole. */
static void set_client_variables(struct variables *v, struct rl_span asked)
{
    while (asked.n) {
        const uint8_t *end = memchr(asked.p, 0, asked.n);
        if (!end)
            return;
        const char *variable = (const char *)asked.p;
        if (client_may_set(variable))
            set(v, "%s", variable);
        size_t used = (size_t)(end - asked.p) + 1;
        asked = RL_SPAN(asked.p + used, asked.n - used);
    }
}

static char **make_environment(const struct spawn *s)
{
    static struct variables v;
    const struct account *a = &s->monitor->account;
    const char *peer = *s->monitor->peer ? s->monitor->peer : "0.0.0.0";
    set(&v, "HOME=%s", a->home);
    set(&v, "USER=%s", a->name);
    set(&v, "LOGNAME=%s", a->name);
    set(&v, "SHELL=%s", a->shell);
    set(&v, "PATH=%s", a->uid == 0 ? PATH_ROOT : PATH_USER);
    /* The client's port and the address it dialled stay at the proxy. */
    set(&v, "SSH_CLIENT=%s 0 22", peer);
    set(&v, "SSH_CONNECTION=%s 0 127.0.0.1 22", peer);
    if (s->term)
        set(&v, "TERM=%s", s->term);
    if (s->tty)
        set(&v, "SSH_TTY=%s", s->tty);
    if (s->agent_path)
        set(&v, "SSH_AUTH_SOCK=%s", s->agent_path);
    if (s->original_command)
        set(&v, "SSH_ORIGINAL_COMMAND=%s", s->original_command);
    set_client_variables(&v, s->environment);
    v.list[v.n] = NULL;
    return v.list;
}

/* Our own SFTP server starts as a fresh image of this program. Returns the first descriptor that is
 * not its. */
static int keep_for_sftp(const struct spawn *s)
{
    int tell = fcntl(s->sftp_fd, F_DUPFD, 10);
    dup2(tell, FIRST_FREE_FD);
    return FIRST_FREE_FD + 1;
}

static void take_terminal(const struct spawn *s)
{
    setsid();
    if (s->tty)
        ioctl(s->fds[0], TIOCSCTTY, 0);
    /* Out of the way first: one of them may be 0, 1 or 2. */
    int high[3];
    for (int i = 0; i < 3; i++)
        high[i] = fcntl(s->fds[i], F_DUPFD, 10);
    int first_to_close = s->sftp_fd >= 0 ? keep_for_sftp(s) : FIRST_FREE_FD;
    for (int i = 0; i < 3; i++)
        dup2(high[i], i);
    rl_confine_close_from(first_to_close);
}

static void limit_fds(void)
{
    struct rlimit fds;
    if (getrlimit(RLIMIT_NOFILE, &fds) != 0 || fds.rlim_cur <= FDS_SOFT_MAX)
        return;
    fds.rlim_cur = FDS_SOFT_MAX;
    setrlimit(RLIMIT_NOFILE, &fds);
}

static void enter_home(const char *home)
{
    if (chdir(home) == 0)
        return;
    dprintf(STDERR_FILENO, "could not enter the home directory %s\n", home);
    if (chdir("/") != 0)
        _exit(EXIT_NO_USER);
}

/* The message of the day, for a login shell on a terminal that did not ask to be spared. */
static void show_motd(const char *path)
{
    if (!path || access(".hushlogin", F_OK) == 0)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* not to wait on a FIFO */
    char text[4096];
    ssize_t n = 0;
    for (size_t total = 0; fd >= 0 && total < MOTD_BYTES_MAX; total += (size_t)n) {
        n = read(fd, text, sizeof text);
        if (n <= 0)
            break;
        if (write(STDOUT_FILENO, text, (size_t)n) < 0)
            _exit(EXIT_NOT_RUN);
    }
    if (fd >= 0)
        close(fd);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static _Noreturn void run(const struct spawn *s, char **environment)
{
    const char *shell = s->monitor->account.shell;
    const char *name = last_part(shell);
    if (s->sftp_fd >= 0) {
        char *home = rl_strdup(s->monitor->account.home);
        execve(RL_CONFINE_SELF, (char *[]){rl_strdup(RL_SSHD_SFTP_NAME), home, NULL}, environment);
    } else if (s->command) {
        execle(shell, name, "-c", s->command, (char *)NULL, environment);
    } else {
        if (s->tty)
            show_motd(s->monitor->config->motd_path);
        /* The dash makes it a login shell. */
        char *argument = rl_sprintf("-%s", name);
        execle(shell, argument, (char *)NULL, environment);
    }
    dprintf(STDERR_FILENO, "cannot run %s: %m\n", shell);
    _exit(EXIT_NOT_RUN);
}

pid_t rl_spawn_session(const struct spawn *s)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    const struct account *a = &s->monitor->account;
    rl_confine_reset_signals();
    take_terminal(s);
    limit_fds();
    umask(022);
    if (s->monitor->is_root && !rl_confine_become(a->uid, a->gid, a->groups, a->groups_n))
        _exit(EXIT_NO_USER);
    char **environment = make_environment(s);
    enter_home(a->home);
    run(s, environment);
}
