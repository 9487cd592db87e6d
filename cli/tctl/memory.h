/* memory: what this machine saw of the audit log, and what others did: checkpoints by number and
 * hash. Files that nobody else writes are what a rolled back log is found by.
 */
#ifndef TCTL_MEMORY_H
#define TCTL_MEMORY_H

#include "ledger/ledger.h"
#include "output/output.h"

struct tctl_memory {
    bool is_there;
    uint64_t number; /* of the last checkpoint that was good; 0: none */
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    Pb__CaKey **keys; /* those that were pinned the first time */
    size_t key_count;
};
/** Where it is kept unless told; heap text, NULL: there is no home. */
char *tctl_memory_path(const char *cluster);
/** None is no error. Errors: RL_E_INVAL it can not be read, or is another cluster's. Owns: by
 * tctl_memory_fini(). */
rl_code tctl_memory_read(const char *path, const char *cluster, struct tctl_memory *out,
                         struct rl_error *err);
void tctl_memory_fini(struct tctl_memory *memory);
rl_code tctl_memory_write(const char *path, const char *cluster, struct rl_ledger_keys keys,
                          const struct rl_ledger_result *result, struct rl_error *err);

/** Adds the checkpoints that a file names: a memory, auth's checkpoint file, what `tctl audit
 * verify` or `remoteler status` print as JSON. Errors: RL_E_INVAL there is none in it. */
rl_code tctl_memory_add_seen(struct rl_ledger_verifier *verifier, const char *path,
                             struct rl_error *err);

#endif
