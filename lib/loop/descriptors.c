/* descriptors: the soft limit of 1024 is there for programs that use select(); these do not. */
#include "loop/loop.h"

#include <sys/resource.h>

uint64_t rl_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : soft;
}
