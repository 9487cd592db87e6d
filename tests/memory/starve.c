#include "starve.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 60
#define SAID_BYTES_MAX 4096
#define EXIT_LEAK 23
#define LAST_WORDS "remoteler: no memory for " /* lib/status, docs/decisions/0018 */

/* Shared with the scenario's process. */
struct plan {
    unsigned long refused; /* the allocation that is, from 1; 0: none */
    bool and_all_after;
    unsigned long count; /* allocations so far */
};

static struct plan *plan;
static bool is_armed, has_begun;

bool starve_has_begun(void)
{
    return has_begun;
}

/* ---- the allocator ---- */

/* The sanitizer's, where there is one; else the C library's. That of threads does not bear being
 * stood in front of, and gets no say here. */
#if !defined(__SANITIZE_THREAD__)

#if defined(__SANITIZE_ADDRESS__)
#define REAL(name) __interceptor_##name
#else
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *old, size_t size);

#define SHOWN __attribute__((visibility("default")))

/* The first allocations come before a sanitizer has its own memory: what they go through must do
 * without it. */
#define PLAIN __attribute__((no_sanitize("address", "undefined")))

PLAIN static bool is_refused(void)
{
    if (!is_armed)
        return false;
    unsigned long n = ++plan->count;
    if (!plan->refused || n < plan->refused || (n > plan->refused && !plan->and_all_after))
        return false;
    has_begun = true;
    return true;
}

SHOWN PLAIN void *malloc(size_t size)
{
    return is_refused() ? NULL : REAL(malloc)(size);
}

SHOWN PLAIN void *calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : REAL(calloc)(count, size);
}

SHOWN PLAIN void *realloc(void *old, size_t size)
{
    return is_refused() ? NULL : REAL(realloc)(old, size);
}

#endif

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* ---- one process ---- */

static _Noreturn void live(const struct starve *what)
{
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    alarm(SECONDS_MAX);
    is_armed = true;
    what->run(what->context);
    is_armed = false;
    bool leaks = __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check();
    _exit(leaks ? EXIT_LEAK : 0);
}

static bool is_documented_end(int status, const char *said)
{
    const char *end = strchr(said, '\n');
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
           strncmp(said, LAST_WORDS, strlen(LAST_WORDS)) == 0 && end && end[1] == '\0';
}

static void tell(const struct starve *what, int status, const char *said, const char *problem)
{
    fprintf(stderr, "%s, without allocation %lu of %lu%s: %s (status 0x%x)\n%s\n", what->name,
            plan->refused, plan->count, plan->and_all_after ? " and all after" : "", problem,
            (unsigned)status, said);
}

static unsigned live_and_judge(const struct starve *what)
{
    static char said[SAID_BYTES_MAX];
    int file = memfd_create("said", MFD_CLOEXEC);
    plan->count = 0;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(file, STDERR_FILENO);
        live(what);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("a process of its own");
        exit(1);
    }
    ssize_t n = pread(file, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    close(file);
    const char *problem = NULL;
    if (status != 0 && !is_documented_end(status, said))
        problem = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_LEAK ? "a leak" : "a bad end";
    else if (what->is_whole && !what->is_whole(what->context))
        problem = "what it left is not whole";
    if (problem)
        tell(what, status, said, problem);
    return problem != NULL;
}

/* ---- all of them ---- */

static unsigned long positions_max(void)
{
    const char *text = getenv("RL_STARVE_POSITIONS");
    unsigned long asked = text ? strtoul(text, NULL, 10) : 0;
    return asked ? asked : STARVE_POSITIONS;
}

unsigned starve(const struct starve *what)
{
    if (!plan)
        plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    *plan = (struct plan){0};
    unsigned failures = live_and_judge(what); /* with all that it wants: how much is that? */
    unsigned long all = plan->count, max = positions_max();
    for (unsigned long i = 0, n = all < max ? all : max; i < n && !failures; i++) {
        plan->refused = 1 + i * all / n;
        for (int after = 0; after < 2; after++) {
            plan->and_all_after = after;
            failures += live_and_judge(what);
        }
    }
    return failures;
}
