/* A wall clock that is wrong, for one process: preloaded, it adds to the time what a file says in
 * seconds, and looks at the file again and again, so that the clock jumps when the file changes.
 * (libfaketime does more, and hangs with the address sanitizer.) A word "@" before the number makes
 * it the time itself, going on from there. A second number is what has passed since the machine
 * started besides, as after a sleep: CLOCK_BOOTTIME has it, CLOCK_MONOTONIC has not.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 20000000

static _Thread_local struct timespec looked;
static _Thread_local long long offset_s, slept_s;

static void real(clockid_t clock, struct timespec *out)
{
    syscall(SYS_clock_gettime, clock, out);
}

static void look(void)
{
    char text[64] = "";
    struct timespec now, wall;
    real(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - looked.tv_sec) * 1000000000LL + now.tv_nsec - looked.tv_nsec < LOOK_NS)
        return;
    looked = now;
    const char *path = getenv("WRONG_CLOCK");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0) {
        real(CLOCK_REALTIME, &wall);
        offset_s = text[0] == '@' ? atoll(text + 1) - wall.tv_sec : atoll(text);
        const char *second = strchr(text, ' ');
        slept_s = second ? atoll(second) : 0;
    }
    syscall(SYS_close, fd);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    real(clock, out);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        look();
        out->tv_sec += offset_s;
    }
    if (clock == CLOCK_BOOTTIME) {
        look();
        out->tv_sec += slept_s;
    }
    return 0;
}

/* The kernel has not slept: what is due at a time is due that much earlier by its clock. */
int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
    struct itimerspec when = *new;
    if (flags & TFD_TIMER_ABSTIME && (when.it_value.tv_sec || when.it_value.tv_nsec)) {
        look();
        when.it_value.tv_sec -= slept_s;
        if (when.it_value.tv_sec <= 0)
            when.it_value = (struct timespec){0, 1}; /* not 0: that would be never */
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, &when, old);
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
