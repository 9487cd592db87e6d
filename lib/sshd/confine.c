/* confine: chroot, user id, limits, no_new_privs, seccomp, in this order.
 *
 * Under the sanitizers the seccomp filter and the limit of address space are left out: they need
 * both. The rest is in force there too. */
#include "sshd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__)
#define THIS_ARCH AUDIT_ARCH_ARM
#else
#error "confine: tell the architecture's AUDIT_ARCH_ value"
#endif

#define ADDRESS_SPACE_BYTES_MAX ((rlim_t)512 << 20)
#define INSTRUCTIONS_MAX 128

/* What both rooms call. Some architectures have a call under two names; 32-bit ARM has its own
 * for times, offsets and mappings. */
static const int common_calls[] = {
    __NR_read,
    __NR_write,
    __NR_close,
    __NR_brk,
    __NR_munmap,
    __NR_exit_group,
    __NR_clock_gettime, /* in the vDSO, where there is one */
    __NR_ppoll,
#ifdef __NR_poll
    __NR_poll, /* arm64 has only ppoll */
#endif
#ifdef __NR_ppoll_time64
    __NR_ppoll_time64,
#endif
#ifdef __NR_clock_gettime64
    __NR_clock_gettime64,
#endif
};

static const int transport_calls[] = {
    __NR_recvfrom,     __NR_sendto,    __NR_recvmsg, __NR_sendmsg,
    __NR_shutdown, /* of forwarded connections */
    __NR_mremap,       __NR_getrandom, __NR_getpid,  __NR_futex,
#ifdef __NR_recv
    __NR_recv,
#endif
#ifdef __NR_send
    __NR_send,
#endif
#ifdef __NR_futex_time64
    __NR_futex_time64,
#endif
};

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short n;
};

static void add(struct program *p, struct sock_filter instruction)
{
    if (p->n < INSTRUCTIONS_MAX)
        p->code[p->n] = instruction;
    p->n++;
}

static void statement(struct program *p, int code, size_t k)
{
    add(p, (struct sock_filter)BPF_STMT((unsigned short)code, (unsigned)k));
}

static void jump_if_equal(struct program *p, long k, uint8_t then, uint8_t otherwise)
{
    add(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)k, then, otherwise));
}

static void load(struct program *p, size_t offset)
{
    statement(p, BPF_LD | BPF_W | BPF_ABS, offset);
}

static void answer(struct program *p, unsigned verdict)
{
    statement(p, BPF_RET | BPF_K, verdict);
}

static size_t argument(unsigned i)
{
    /* The low half, where the values that are compared here lie. */
    size_t at = offsetof(struct seccomp_data, args) + i * sizeof(uint64_t);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? at + 4 : at;
}

static void allow(struct program *p, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        jump_if_equal(p, calls[i], 0, 1);
        answer(p, SECCOMP_RET_ALLOW);
    }
}

/* The call is allowed when its argument is one of two values, else it ends the process. */
static void allow_with_argument(struct program *p, int call, unsigned i, long a, long b)
{
    jump_if_equal(p, call, 0, 5);
    load(p, argument(i));
    jump_if_equal(p, a, 2, 0);
    jump_if_equal(p, b, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    answer(p, SECCOMP_RET_ALLOW);
}

/* Memory, but none that can be run. */
static void allow_mapping(struct program *p, int call)
{
    jump_if_equal(p, call, 0, 5);
    load(p, argument(2));
    statement(p, BPF_ALU | BPF_AND | BPF_K, PROT_EXEC);
    jump_if_equal(p, 0, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    answer(p, SECCOMP_RET_ALLOW);
}

static void build(struct program *p, enum rl_confine_profile profile)
{
    load(p, offsetof(struct seccomp_data, arch));
    jump_if_equal(p, (long)THIS_ARCH, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    allow(p, common_calls, sizeof common_calls / sizeof *common_calls);
    if (profile == RL_CONFINE_TRANSPORT) {
        allow(p, transport_calls, sizeof transport_calls / sizeof *transport_calls);
        allow_with_argument(p, __NR_fcntl, 1, F_SETFL, F_DUPFD_CLOEXEC);
#ifdef __NR_fcntl64
        allow_with_argument(p, __NR_fcntl64, 1, F_SETFL, F_DUPFD_CLOEXEC);
#endif
    } else {
        allow_with_argument(p, __NR_ioctl, 1, TIOCSWINSZ, TIOCSWINSZ);
    }
    /* The transport's packets, the relay's compressor. */
#ifdef __NR_mmap
    allow_mapping(p, __NR_mmap);
#endif
#ifdef __NR_mmap2
    allow_mapping(p, __NR_mmap2);
#endif
    answer(p, SECCOMP_RET_KILL_PROCESS);
}

static bool filter_calls(enum rl_confine_profile profile)
{
    struct program p = {.n = 0};
    build(&p, profile);
    struct sock_fprog program = {p.n, p.code};
    return p.n <= INSTRUCTIONS_MAX && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A kernel that has it misses the program; one that has not does not know the mode. */
bool rl_confine_has_seccomp(void)
{
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT;
}

/* Down, never up: a room that is no root's may not, and a lower limit does no harm. */
static bool limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max < value)
        value = now.rlim_max;
    return setrlimit(resource, &(struct rlimit){value, value}) == 0;
}

/* No RLIMIT_FSIZE: it kills when stderr is a regular file. */
static bool limit_all(unsigned fds_max)
{
    if (!IS_SANITIZED && !limit(RLIMIT_AS, ADDRESS_SPACE_BYTES_MAX))
        return false;
    return limit(RLIMIT_NPROC, 0) && limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, fds_max);
}

bool rl_confine_become(uid_t uid, gid_t gid, const gid_t *groups, size_t groups_n)
{
    if (setgroups(groups_n, groups) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0)
        return false;
    return uid == 0 || setuid(0) != 0;
}

int rl_confine(const struct rl_confine *what)
{
    if (what->empty_dir) {
        if (chroot(what->empty_dir) != 0 || chdir("/") != 0)
            return 90;
        if (!rl_confine_become(what->uid, what->uid, NULL, 0))
            return 91;
    }
    if (!limit_all(what->fds_max))
        return 92;
    /* After the change of user, which would clear it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 93;
    bool filters = !IS_SANITIZED && !getenv(RL_CONFINE_NO_SECCOMP);
    if (filters && !filter_calls(what->profile))
        return 94;
    return 0;
}

void rl_confine_close_from(int first)
{
#ifdef __NR_close_range
    if (syscall(__NR_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    struct rlimit fds = {0};
    getrlimit(RLIMIT_NOFILE, &fds);
    for (int fd = first; (rlim_t)fd < fds.rlim_max && fd < 1 << 20; fd++)
        close(fd);
}

void rl_confine_reset_signals(void)
{
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
