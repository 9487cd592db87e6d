/* rl_testpg_run: the private PostgreSQL for tests that are not in C. Prints the connection string
 * when it answers; ends, and removes everything, by SIGTERM or SIGINT.
 */
#include "testpg.h"

#include <signal.h>
#include <stdio.h>

int main(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct rl_testpg *pg = rl_testpg_create();
    printf("%s\n", rl_testpg_conninfo(pg));
    fflush(stdout);
    int signal;
    sigwait(&ends, &signal);
    rl_testpg_free(&pg);
    return 0;
}
