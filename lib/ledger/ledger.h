/* ledger: what the audit log is proven by. Each replica of audit chains its events by hash; auth
 * signs checkpoints over the chains' heads, and tombstones for what retention drops; whoever has
 * auth's public key and an earlier checkpoint can tell whether anything was changed since. Pure.
 */
#ifndef RL_LEDGER_H
#define RL_LEDGER_H

#include "bytes/buf.h"
#include "identity/identity.h"
#include "remoteler/v1/audit.pb-c.h"
#include "remoteler/v1/resource.pb-c.h"

#define RL_LEDGER_HASH_BYTES 32
#define RL_LEDGER_HEADS_MAX 1024 /* chains of one checkpoint */
#define RL_LEDGER_CHECKPOINT_BYTES_MAX (256u << 10)

/** SHA-256 over a domain, the hash before (32 zeros for a replica's first event), the replica, the
 * event's number in its chain (from 1), and the event as it is stored. */
void rl_ledger_hash(const uint8_t before[RL_LEDGER_HASH_BYTES], const char *replica,
                    int64_t sequence, struct rl_span packed, uint8_t out[RL_LEDGER_HASH_BYTES]);
void rl_ledger_sha256(struct rl_span bytes, uint8_t out[RL_LEDGER_HASH_BYTES]);

/* ---- auth's side ---- */

/** Errors: RL_E_INVAL too many heads, or a hash of another length; RL_E_INTERNAL the key. Owns:
 * *out by its free_unpacked. */
rl_code rl_checkpoint_sign(const Pb__Checkpoint *checkpoint, EVP_PKEY *signer, const char *key_id,
                           Pb__SignedCheckpoint **out, struct rl_error *err);
/** Does this one, with what audit says is there at the heads of the last one, extend the last one?
 * `known` are the last one's heads as the database has them now. Errors: RL_E_DATA_LOSS which does
 * not. */
rl_code rl_checkpoint_check_extends(const Pb__Checkpoint *last, Pb__ChainHead *const *known,
                                    size_t known_count, Pb__ChainHead *const *heads,
                                    size_t head_count, struct rl_error *err);
rl_code rl_tombstone_sign(const Pb__Tombstone *tombstone, EVP_PKEY *signer, const char *key_id,
                          Pb__SignedTombstone **out, struct rl_error *err);

/* ---- whoever verifies ---- */

/** The public keys that may sign: pinned, never asked for. */
struct rl_ledger_keys {
    size_t count;
    Pb__CaKey *const *keys;
};
/** Errors: RL_E_UNAUTHENTICATED the key or the signature; RL_E_INVAL it can not be read. */
rl_code rl_checkpoint_open(const Pb__SignedCheckpoint *signed_checkpoint, const char *cluster,
                           struct rl_ledger_keys keys, Pb__Checkpoint **out, struct rl_error *err);
rl_code rl_tombstone_open(const Pb__SignedTombstone *signed_tombstone, const char *cluster,
                          struct rl_ledger_keys keys, Pb__Tombstone **out, struct rl_error *err);

#define RL_LEDGER_REASON_BYTES 320
#define RL_LEDGER_UID_BYTES 40

struct rl_ledger_result {
    bool is_good;
    uint64_t events;
    uint64_t unproven; /* events that no checkpoint covers yet */
    uint64_t checkpoints;
    uint64_t last_number; /* of the latest checkpoint; 0: there is none */
    int64_t last_time_ns;
    uint8_t last_sha256[RL_LEDGER_HASH_BYTES];
    /* the first by time of what is wrong */
    int64_t bad_time_ns;
    char bad_uid[RL_LEDGER_UID_BYTES]; /* ""; what is wrong is not in an event that is there */
    char bad_reason[RL_LEDGER_REASON_BYTES];
};

struct rl_ledger_verifier;
/** All borrowed. The order of what is added: checkpoints by number, what others saw, then each
 * chain's tombstones and records. Nothing of it is believed. */
struct rl_ledger_verifier *rl_ledger_verifier_create(const char *cluster,
                                                     struct rl_ledger_keys keys);
void rl_ledger_verifier_free(struct rl_ledger_verifier **verifier);
void rl_ledger_add_checkpoint(struct rl_ledger_verifier *verifier,
                              const Pb__SignedCheckpoint *signed_checkpoint);
/** A checkpoint that somebody saw; `who` for the message: "this machine's memory". */
void rl_ledger_add_seen(struct rl_ledger_verifier *verifier, uint64_t number,
                        const uint8_t sha256[RL_LEDGER_HASH_BYTES], const char *who);
void rl_ledger_add_tombstone(struct rl_ledger_verifier *verifier,
                             const Pb__SignedTombstone *signed_tombstone);
void rl_ledger_add_record(struct rl_ledger_verifier *verifier, const Pb__LedgerRecord *record);
/** Once, at the end. */
void rl_ledger_finish(struct rl_ledger_verifier *verifier, struct rl_ledger_result *out);

#endif
