/* rotations: which authorities are being replaced, and how far that is. What is not here is in
 * standby. Whoever changes one has called rl_revision_bump() in the same transaction, first.
 */
#ifndef RL_AUTH_DB_ROTATIONS_H
#define RL_AUTH_DB_ROTATIONS_H

#include "remoteler/v1/auth.pb-c.h"
#include "store/store.h"

/** By kind. Owns: each by pb__rotation__free_unpacked() and the array. */
rl_code rl_rotations_list(struct rl_db *db, Pb__Rotation ***out, size_t *count,
                          struct rl_error *err);
void rl_rotations_free(Pb__Rotation ***rotations, size_t count);
/** Inserts, or replaces; next_ns 0 waits for an administrator. */
rl_code rl_rotations_put(struct rl_db *db, const Pb__Rotation *rotation, struct rl_error *err);
rl_code rl_rotations_delete(struct rl_db *db, const char *kind, struct rl_error *err);

/** Every key of a kind that is in phase `from` goes to `to`. */
rl_code rl_authorities_move(struct rl_db *db, const char *kind, const char *from, const char *to,
                            struct rl_error *err);
/** The keys of a kind that are in this phase are gone. */
rl_code rl_authorities_remove(struct rl_db *db, const char *kind, const char *phase,
                              struct rl_error *err);
/** What remains of keys that retire: the public half, by which whoever was off is recognised. */
rl_code rl_authorities_retire(struct rl_db *db, const char *kind, struct rl_error *err);
/** Forgets what retired longer ago than somebody may come with a certificate of it. */
rl_code rl_authorities_prune(struct rl_db *db, uint64_t certificate_life_s, struct rl_error *err);

#endif
