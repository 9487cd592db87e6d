/* testpg: a private PostgreSQL for a test, from the installed package: a new cluster in a temporary
 * directory, on a Unix socket there and nowhere else, without fsync. It ends with the thread that
 * started it, whatever happens. Link with `testpg`.
 *
 * What goes wrong here is the machine's fault, not the product's: it is said on stderr and the test
 * program ends.
 */
#ifndef RL_TESTPG_H
#define RL_TESTPG_H

struct rl_testpg;

/** Makes the cluster, starts the server and waits until it answers (a few seconds). */
struct rl_testpg *rl_testpg_create(void);
/** For libpq: superuser `postgres`, database `postgres`, no password. Borrowed. */
const char *rl_testpg_conninfo(const struct rl_testpg *pg);
/** Stops and starts the server; the data stay. `rl_testpg_kill` gives it no time to say goodbye. */
void rl_testpg_stop(struct rl_testpg *pg);
void rl_testpg_kill(struct rl_testpg *pg);
void rl_testpg_start(struct rl_testpg *pg);
/** Stops it and removes the directory. */
void rl_testpg_free(struct rl_testpg **pg);

#endif
