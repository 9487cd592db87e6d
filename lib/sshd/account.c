/* account: reads passwd(5), group(5), shadow(5) and what getent(1) says in their form. */
#include "account.h"

#include "sshd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GETENT_MS_MAX 5000
#define GETENT_BYTES_MAX 65536
#define SECONDS_A_DAY 86400
#define FIELDS_MAX 9

struct account_sources rl_account_system_sources(void)
{
    static const char *const getents[] = {"/usr/bin/getent", "/bin/getent"};
    struct account_sources s = {
        "/etc/passwd", "/etc/group", "/etc/shadow", {"/etc/nologin", "/run/nologin"}, NULL};
    for (size_t i = 0; i < RL_COUNT(getents) && !s.getent; i++)
        if (access(getents[i], X_OK) == 0)
            s.getent = getents[i];
    return s;
}

/* Splits "a:b:c" in place. Fields that are not there are NULL. */
static size_t split(char *line, char *fields[FIELDS_MAX])
{
    size_t n = 0;
    line[strcspn(line, "\n")] = '\0';
    memset(fields, 0, FIELDS_MAX * sizeof *fields);
    while (line && n < FIELDS_MAX)
        fields[n++] = strsep(&line, ":");
    return n;
}

static bool number(const char *text, uint32_t *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    /* All ones is "no id" to setresuid(). */
    if (errno || end == text || *end || *text == '-' || v >= UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool copy(char *out, size_t size, const char *text)
{
    return (size_t)snprintf(out, size, "%s", text) < size;
}

/* passwd(5): name:password:uid:gid:gecos:home:shell */
static bool parse_account(char *line, const char *login, struct account *out)
{
    char *f[FIELDS_MAX];
    uint32_t uid, gid;
    if (split(line, f) < 7 || strcmp(f[0], login) != 0 || !number(f[2], &uid) ||
        !number(f[3], &gid))
        return false;
    out->uid = uid;
    out->gid = gid;
    return copy(out->name, sizeof out->name, login) &&
           copy(out->home, sizeof out->home, *f[5] ? f[5] : "/") &&
           copy(out->shell, sizeof out->shell, *f[6] ? f[6] : "/bin/sh");
}

static void add_group(struct account *a, gid_t gid)
{
    for (size_t i = 0; i < a->groups_n; i++)
        if (a->groups[i] == gid)
            return;
    if (a->groups_n < ACCOUNT_GROUPS_MAX)
        a->groups[a->groups_n++] = gid;
}

/* group(5): name:password:gid:member,member */
static void parse_group(char *line, struct account *a)
{
    char *f[FIELDS_MAX];
    uint32_t gid;
    if (split(line, f) < 4 || !number(f[2], &gid))
        return;
    for (char *member; (member = strsep(&f[3], ","));)
        if (strcmp(member, a->name) == 0)
            add_group(a, gid);
}

static bool find_in_passwd(FILE *file, const char *login, struct account *out)
{
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    while (!found && getline(&line, &cap, file) >= 0)
        found = parse_account(line, login, out);
    free(line);
    return found;
}

static void read_groups(const char *path, struct account *a)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, file) >= 0)
        parse_group(line, a);
    free(line);
    fclose(file);
}

/* ---- getent ---- */

static _Noreturn void run_getent(const char *getent, const char *database, const char *key,
                                 int output)
{
    rl_confine_reset_signals();
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    rl_confine_close_from(3);
    execle(getent, getent, database, key, (char *)NULL, (char *[]){NULL});
    _exit(127);
}

/* A directory that does not answer does not hold up the login for ever. */
static void read_all(int fd, struct rl_buf *out)
{
    struct pollfd p = {fd, POLLIN, 0};
    while (poll(&p, 1, GETENT_MS_MAX) > 0) {
        uint8_t *room = rl_buf_reserve(out, 4096);
        ssize_t n = room ? read(fd, room, 4096) : 0;
        if (n <= 0)
            return;
        out->n += (size_t)n;
    }
}

static bool ask_getent(const char *getent, const char *database, const char *key,
                       struct rl_buf *out)
{
    int fds[2];
    if (!getent || pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0)
        run_getent(getent, database, key, fds[1]);
    close(fds[1]);
    if (pid > 0)
        read_all(fds[0], out);
    close(fds[0]);
    int status = -1;
    if (pid > 0) {
        kill(pid, SIGKILL); /* has said all, or was too slow */
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    return pid > 0 && out->n > 0 && !out->failed;
}

/* "login  gid gid gid" */
static void parse_initgroups(const char *text, struct account *a)
{
    text += strcspn(text, " ");
    while (*text) {
        char *end = NULL;
        unsigned long gid = strtoul(text, &end, 10);
        if (end == text)
            return;
        if (gid < UINT32_MAX)
            add_group(a, (gid_t)gid);
        text = end;
    }
}

static bool find_by_getent(const struct account_sources *from, const char *login,
                           struct account *out)
{
    struct rl_buf answer;
    rl_buf_init(&answer, GETENT_BYTES_MAX);
    bool found = false;
    if (ask_getent(from->getent, "passwd", login, &answer)) {
        char *line = rl_strdup(rl_buf_text(&answer));
        found = parse_account(line, login, out);
        free(line);
    }
    if (found) {
        rl_buf_clear(&answer);
        add_group(out, out->gid);
        if (ask_getent(from->getent, "initgroups", login, &answer))
            parse_initgroups(rl_buf_text(&answer), out);
    }
    rl_buf_fini(&answer);
    return found;
}

/* ---- the interface ---- */

rl_code rl_account_find(const struct account_sources *from, const char *login, struct account *out,
                        struct rl_error *err)
{
    struct account a = {0};
    FILE *file = fopen(from->passwd, "re");
    if (!file)
        return rl_fail_errno(err, RL_E_UNAVAILABLE, "reading %s", from->passwd);
    bool found = find_in_passwd(file, login, &a);
    fclose(file);
    if (found) {
        add_group(&a, a.gid);
        read_groups(from->group, &a);
    } else if (!find_by_getent(from, login, &a)) {
        return rl_fail(err, RL_E_NOT_FOUND, "there is no login \"%s\" on this node", login);
    }
    *out = a;
    return RL_OK;
}

/* shadow(5), the eighth field: the day on which the account expires. */
static bool has_expired(const char *path, const char *login, int64_t now_s)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false; /* not root, or a system without shadow */
    char *line = NULL;
    size_t cap = 0;
    bool expired = false;
    while (getline(&line, &cap, file) >= 0) {
        char *f[FIELDS_MAX];
        uint32_t day;
        if (split(line, f) >= 8 && strcmp(f[0], login) == 0 && number(f[7], &day))
            expired = now_s / SECONDS_A_DAY >= (int64_t)day;
    }
    free(line);
    fclose(file);
    return expired;
}

static rl_code check_nologin(const char *path, struct rl_error *err)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return RL_OK;
    char text[256];
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[n] = '\0';
    return rl_fail(err, RL_E_DENIED, "%s", n ? text : "this node takes no logins now");
}

/* As sshd looks at it: root may run what nobody has marked as a program, and a directory. */
static bool can_be_run(const char *shell)
{
    struct stat st;
    return stat(shell, &st) == 0 && S_ISREG(st.st_mode) &&
           (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) && access(shell, X_OK) == 0;
}

bool rl_account_takes_no_sessions(const struct account *account)
{
    const char *slash = strrchr(account->shell, '/');
    const char *name = slash ? slash + 1 : account->shell;
    return strcmp(name, "nologin") == 0 || strcmp(name, "false") == 0;
}

rl_code rl_account_check(const struct account_sources *from, const struct account *account,
                         int64_t now_s, struct rl_error *err)
{
    if (has_expired(from->shadow, account->name, now_s))
        return rl_fail(err, RL_E_DENIED, "the account \"%s\" has expired", account->name);
    if (!can_be_run(account->shell))
        return rl_fail(err, RL_E_DENIED, "the shell of \"%s\", %s, cannot be run", account->name,
                       account->shell);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && account->uid != 0 && i < RL_COUNT(from->nologin); i++)
        rc = check_nologin(from->nologin[i], err);
    return rc;
}

int64_t rl_account_group_id(const struct account_sources *from, const char *name)
{
    FILE *file = fopen(from->group, "re");
    if (!file)
        return -1;
    char *line = NULL;
    size_t cap = 0;
    int64_t id = -1;
    while (id < 0 && getline(&line, &cap, file) >= 0) {
        char *f[FIELDS_MAX];
        uint32_t gid;
        if (split(line, f) >= 3 && strcmp(f[0], name) == 0 && number(f[2], &gid))
            id = gid;
    }
    free(line);
    fclose(file);
    return id;
}
