/* testpg: initdb and postgres as child processes. PostgreSQL refuses to run as root, so root starts
 * it as `postgres`; the directory lies in /tmp because a checkout may be where that user cannot go.
 */
#include "testpg.h"

#include "status/status.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 40
#define START_TRIES 1500
#define PAUSE_NS 20000000L

struct rl_testpg {
    char directory[32];
    char *data, *log, *conninfo;
    char *programs; /* "/usr/lib/postgresql/15/bin" */
    pid_t server;
};

static _Noreturn void give_up(const struct rl_testpg *pg, const char *what)
{
    fprintf(stderr, "testpg: %s: %s\n", what, strerror(errno));
    if (pg && pg->log) {
        char *command = rl_sprintf("tail -n 20 %s >&2", pg->log);
        if (system(command) != 0)
            fprintf(stderr, "testpg: and there is no log\n");
        free(command);
    }
    exit(99);
}

static char *find_programs(void)
{
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) != 0 || found.gl_pathc == 0)
        give_up(NULL, "no PostgreSQL in /usr/lib/postgresql");
    char *path = rl_strdup(found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(path, '/') = '\0';
    globfree(&found);
    return path;
}

/* Runs in the child. The signal comes to postgres itself when we die: setpriv becomes it. */
static _Noreturn void become(const struct rl_testpg *pg, const char *program,
                             const char *const *args)
{
    static const char *const as_postgres[] = {"setpriv",          "--reuid=postgres",
                                              "--regid=postgres", "--clear-groups",
                                              "--pdeathsig=INT",  "--"};
    static const char *const as_ourselves[] = {"setpriv", "--pdeathsig=INT", "--"};
    const char *const *before = geteuid() == 0 ? as_postgres : as_ourselves;
    size_t n = geteuid() == 0 ? RL_COUNT(as_postgres) : RL_COUNT(as_ourselves);
    const char *all[ARGS_MAX] = {NULL};
    memcpy(all, before, n * sizeof *all);
    all[n++] = rl_sprintf("%s/%s", pg->programs, program);
    while (*args && n + 1 < ARGS_MAX)
        all[n++] = *args++;
    int log = open(pg->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int none = open("/dev/null", O_RDONLY);
    if (log < 0 || none < 0 || dup2(none, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(98);
    sigset_t no_signals;
    sigemptyset(&no_signals);
    sigprocmask(SIG_SETMASK, &no_signals, NULL);
    if (chdir("/") == 0)
        execvp(all[0], (char *const *)(uintptr_t)all);
    _exit(97);
}

static pid_t spawn(const struct rl_testpg *pg, const char *program, const char *const *args)
{
    pid_t child = fork();
    if (child < 0)
        give_up(pg, "fork");
    if (child == 0)
        become(pg, program, args);
    return child;
}

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static void make_cluster(struct rl_testpg *pg)
{
    const char *const args[] = {"-D",
                                pg->data,
                                "-A",
                                "trust",
                                "-U",
                                "postgres",
                                "--no-sync",
                                "-E",
                                "UTF8",
                                "--locale=C",
                                "--no-instructions",
                                NULL};
    errno = 0;
    if (wait_for(spawn(pg, "initdb", args)) != 0)
        give_up(pg, "initdb failed");
}

static void pause_shortly(void)
{
    const struct timespec pause = {0, PAUSE_NS};
    nanosleep(&pause, NULL);
}

void rl_testpg_start(struct rl_testpg *pg)
{
    const char *const args[] = {"-D", pg->data,
                                "-k", pg->directory,
                                "-c", "listen_addresses=",
                                "-c", "fsync=off",
                                "-c", "synchronous_commit=off",
                                "-c", "full_page_writes=off",
                                "-c", "shared_buffers=16MB",
                                "-c", "max_connections=60",
                                "-c", "max_wal_size=64MB",
                                "-c", "min_wal_size=32MB",
                                NULL};
    pg->server = spawn(pg, "postgres", args);
    for (int i = 0; i < START_TRIES; i++) {
        if (PQping(pg->conninfo) == PQPING_OK)
            return;
        if (waitpid(pg->server, NULL, WNOHANG) == pg->server)
            break;
        pause_shortly();
    }
    give_up(pg, "postgres does not start");
}

/* In a test of its own process the server is not a child that could be waited for; the last thing
 * that it does is to take its file away. */
static void wait_until_gone(const struct rl_testpg *pg)
{
    char *path = rl_sprintf("%s/postmaster.pid", pg->data);
    for (int i = 0; i < START_TRIES && access(path, F_OK) == 0; i++)
        pause_shortly();
    free(path);
}

static void end_server(struct rl_testpg *pg, int by)
{
    if (pg->server <= 0)
        return;
    kill(pg->server, by);
    if (wait_for(pg->server) < 0)
        wait_until_gone(pg);
    pg->server = 0;
}

void rl_testpg_stop(struct rl_testpg *pg)
{
    end_server(pg, SIGINT); /* "fast": sessions are ended and told so */
}

void rl_testpg_kill(struct rl_testpg *pg)
{
    end_server(pg, SIGQUIT); /* "immediate": as after a crash */
}

struct rl_testpg *rl_testpg_create(void)
{
    struct rl_testpg *pg = rl_alloc(sizeof *pg);
    pg->programs = find_programs();
    strcpy(pg->directory, "/tmp/rlpg-XXXXXX");
    if (!mkdtemp(pg->directory))
        give_up(NULL, "a temporary directory");
    pg->data = rl_sprintf("%s/data", pg->directory);
    pg->log = rl_sprintf("%s/log", pg->directory);
    pg->conninfo = rl_sprintf("host=%s user=postgres dbname=postgres", pg->directory);
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (geteuid() == 0 && (!user || chown(pg->directory, user->pw_uid, user->pw_gid) < 0))
        give_up(NULL, "there is no user postgres");
    make_cluster(pg);
    rl_testpg_start(pg);
    return pg;
}

const char *rl_testpg_conninfo(const struct rl_testpg *pg)
{
    return pg->conninfo;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    return remove(path);
}

void rl_testpg_free(struct rl_testpg **pg)
{
    if (!pg || !*pg)
        return;
    rl_testpg_kill(*pg);
    nftw((*pg)->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free((*pg)->programs);
    free((*pg)->data);
    free((*pg)->log);
    free((*pg)->conninfo);
    free(*pg);
    *pg = NULL;
}
