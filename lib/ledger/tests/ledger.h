/* ledger: a small log made by the test: one chain, a signer, and what the verifier says of it. */
#ifndef LEDGER_TESTS_LEDGER_H
#define LEDGER_TESTS_LEDGER_H

#include "ledger/ledger.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER "main"
#define ME "0190c0de-0000-7000-8000-0000000000a1"
#define OTHER "0190c0de-0000-7000-8000-0000000000a2"
#define EVENTS 10
#define T0 INT64_C(1790000000000000000)
#define MUST(call) ck_assert_msg((call) == RL_OK, "%s", err.message)

static struct rl_error err;

struct signer {
    EVP_PKEY *key;
    struct rl_buf spki;
    char id[16];
    Pb__CaKey row, *rows[1];
};

static inline void signer_make(struct signer *s, const char *id)
{
    MUST(rl_key_generate_p256(&s->key, &err));
    rl_buf_init(&s->spki, 1024);
    MUST(rl_key_to_spki(s->key, &s->spki, &err));
    snprintf(s->id, sizeof s->id, "%s", id);
    pb__ca_key__init(&s->row);
    s->row.id = s->id;
    s->row.public_key = (ProtobufCBinaryData){s->spki.n, s->spki.p};
    s->rows[0] = &s->row;
}

static inline void signer_fini(struct signer *s)
{
    EVP_PKEY_free(s->key);
    rl_buf_fini(&s->spki);
}

static inline struct rl_ledger_keys signer_keys(const struct signer *s)
{
    return (struct rl_ledger_keys){1, s->rows};
}

/* An event as it lies in the database. */
struct stored {
    Pb__LedgerRecord record;
    char uid[RL_LEDGER_UID_BYTES], type[32], user[32];
    uint8_t prev[RL_LEDGER_HASH_BYTES], hash[RL_LEDGER_HASH_BYTES], packed[512];
};

/* Makes the stored event anew from its own fields, after `prev`. */
static inline void stored_seal(struct stored *s, const uint8_t prev[RL_LEDGER_HASH_BYTES])
{
    char cluster[] = CLUSTER;
    Pb__Event event = PB__EVENT__INIT;
    event.uid = s->uid;
    event.time_ns = s->record.at_ns;
    event.received_ns = s->record.received_ns;
    event.type = s->type;
    event.user = s->user;
    event.cluster = cluster;
    s->record.packed = (ProtobufCBinaryData){pb__event__pack(&event, s->packed), s->packed};
    memcpy(s->prev, prev, sizeof s->prev);
    s->record.prev_hash = (ProtobufCBinaryData){sizeof s->prev, s->prev};
    rl_ledger_hash(s->prev, s->record.replica, (int64_t)s->record.sequence,
                   RL_SPAN(s->record.packed.data, s->record.packed.len), s->hash);
    s->record.hash = (ProtobufCBinaryData){sizeof s->hash, s->hash};
}

static inline void stored_make(struct stored *s, uint64_t sequence,
                               const uint8_t prev[RL_LEDGER_HASH_BYTES])
{
    static char me[] = ME, cluster[] = CLUSTER;
    pb__ledger_record__init(&s->record);
    snprintf(s->uid, sizeof s->uid, "0190c0de-0000-7000-8000-%012llu",
             (unsigned long long)sequence);
    snprintf(s->type, sizeof s->type, "session.start");
    snprintf(s->user, sizeof s->user, "alice");
    s->record.replica = me;
    s->record.sequence = sequence;
    s->record.uid = s->uid;
    s->record.type = s->type;
    s->record.user = s->user;
    s->record.user_cluster = cluster;
    s->record.at_ns = s->record.received_ns = T0 + (int64_t)sequence * 1000;
    stored_seal(s, prev);
}

static inline Pb__SignedCheckpoint *checkpoint_make(const struct signer *signer, uint64_t number,
                                                    const Pb__SignedCheckpoint *before,
                                                    const struct stored *head)
{
    char cluster[] = CLUSTER;
    uint8_t previous[RL_LEDGER_HASH_BYTES];
    Pb__Checkpoint c = PB__CHECKPOINT__INIT;
    Pb__ChainHead h = PB__CHAIN_HEAD__INIT, *heads[] = {&h};
    Pb__SignedCheckpoint *out = NULL;
    c.cluster = cluster;
    c.number = number;
    c.time_ns = head->record.received_ns + 500;
    if (before) {
        rl_ledger_sha256(RL_SPAN(before->checkpoint.data, before->checkpoint.len), previous);
        c.previous_sha256 = (ProtobufCBinaryData){sizeof previous, previous};
    }
    h.replica = head->record.replica;
    h.sequence = head->record.sequence;
    h.hash = head->record.hash;
    c.heads = heads;
    c.n_heads = 1;
    MUST(rl_checkpoint_sign(&c, signer->key, signer->id, &out, &err));
    return out;
}

#endif
