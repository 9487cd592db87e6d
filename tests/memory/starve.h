/* starve: refuses memory to a scenario, one allocation after the other. Each time in a process of
 * its own, which has to end in one of three ways: as if nothing had happened, with an error that
 * its caller handled, or in the one line of docs/decisions/0018; never otherwise, and without a
 * leak.
 *
 * malloc() and its kin are the program's own here, also for the libraries that it loads. */
#ifndef RL_TESTS_STARVE_H
#define RL_TESTS_STARVE_H

#include <stdbool.h>

struct starve {
    const char *name;
    void (*run)(void *context);
    /* What was left behind, judged by the parent after each process; NULL: nothing is. */
    bool (*is_whole)(void *context);
    void *context;
};

/** How many of a scenario's allocations are refused: all, or so many, spread over them. Twice each:
 * alone, and with all that follow. RL_STARVE_POSITIONS in the environment says otherwise. */
#define STARVE_POSITIONS 10

/** How many processes ended otherwise; each is told on stderr. The scenario has run once before:
 * what it keeps for good is there. */
unsigned starve(const struct starve *what);
/** Within a scenario: memory was refused. What must be otherwise need not be then. */
bool starve_has_begun(void);

#endif
