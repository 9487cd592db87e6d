/* What audit and auth may bring to whoever proves the log: no crash, and never a word that a log is
 * good when a record in it does not hash. Checkpoints and tombstones are also taken as if auth had
 * signed them. */
#include "fuzz.h"
#include "ledger/ledger.h"
#include "remoteler/v1/auth.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define CLUSTER "main"

static EVP_PKEY *key;
static Pb__CaKey public_key;
static Pb__CaKey *const keys[] = {&public_key};
static struct rl_buf spki;
static char key_id[] = "policy-1";

static void make_key(void)
{
    if (key)
        return;
    rl_buf_init(&spki, 512);
    if (rl_key_generate_p256(&key, NULL) != RL_OK || rl_key_to_spki(key, &spki, NULL) != RL_OK)
        abort();
    pb__ca_key__init(&public_key);
    public_key.id = key_id;
    public_key.public_key.data = spki.p;
    public_key.public_key.len = spki.n;
}

static void add_checkpoint(struct rl_ledger_verifier *verifier, const Pb__SignedCheckpoint *given)
{
    Pb__SignedCheckpoint *made = NULL;
    Pb__Checkpoint *body =
        pb__checkpoint__unpack(NULL, given->checkpoint.len, given->checkpoint.data);
    rl_ledger_add_checkpoint(verifier, given);
    if (body && rl_checkpoint_sign(body, key, key_id, &made, NULL) == RL_OK) {
        rl_ledger_add_checkpoint(verifier, made);
        pb__signed_checkpoint__free_unpacked(made, NULL);
    }
    if (body)
        pb__checkpoint__free_unpacked(body, NULL);
}

static void add_tombstone(struct rl_ledger_verifier *verifier, const Pb__SignedTombstone *given)
{
    Pb__SignedTombstone *made = NULL;
    Pb__Tombstone *body = pb__tombstone__unpack(NULL, given->tombstone.len, given->tombstone.data);
    rl_ledger_add_tombstone(verifier, given);
    if (body && rl_tombstone_sign(body, key, key_id, &made, NULL) == RL_OK) {
        rl_ledger_add_tombstone(verifier, made);
        pb__signed_tombstone__free_unpacked(made, NULL);
    }
    if (body)
        pb__tombstone__free_unpacked(body, NULL);
}

static bool hashes(const Pb__LedgerRecord *record)
{
    uint8_t hash[RL_LEDGER_HASH_BYTES];
    if (record->prev_hash.len != sizeof hash || record->hash.len != sizeof hash)
        return false;
    rl_ledger_hash(record->prev_hash.data, record->replica, (int64_t)record->sequence,
                   RL_SPAN(record->packed.data, record->packed.len), hash);
    return memcmp(hash, record->hash.data, sizeof hash) == 0;
}

static void verify(const Pb__ListCheckpointsResponse *signed_ones, const Pb__LedgerResponse *log)
{
    struct rl_ledger_keys pinned = {1, keys};
    struct rl_ledger_verifier *verifier = rl_ledger_verifier_create(CLUSTER, pinned);
    struct rl_ledger_result result;
    bool is_whole = true;
    for (size_t i = 0; signed_ones && i < signed_ones->n_checkpoints; i++)
        add_checkpoint(verifier, signed_ones->checkpoints[i]);
    for (size_t i = 0; log && i < log->n_tombstones; i++)
        add_tombstone(verifier, log->tombstones[i]);
    for (size_t i = 0; log && i < log->n_records; i++) {
        is_whole = is_whole && hashes(log->records[i]);
        rl_ledger_add_record(verifier, log->records[i]);
    }
    rl_ledger_finish(verifier, &result);
    if (result.is_good && !is_whole)
        abort();
    rl_ledger_verifier_free(&verifier);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_key();
    if (size < 2)
        return 0;
    /* The first two bytes: how much of the rest is auth's answer. */
    size_t first = ((size_t)data[0] << 8 | data[1]) % (size - 1);
    Pb__ListCheckpointsResponse *signed_ones =
        pb__list_checkpoints_response__unpack(NULL, first, data + 2);
    Pb__LedgerResponse *log = pb__ledger_response__unpack(NULL, size - 2 - first, data + 2 + first);
    verify(signed_ones, log);
    if (signed_ones)
        pb__list_checkpoints_response__free_unpacked(signed_ones, NULL);
    if (log)
        pb__ledger_response__free_unpacked(log, NULL);
    return 0;
}
