/* checkpoint: what auth signs over the chains: how far they are, and what retention may drop. */
#include "ledger/ledger.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_CONTEXT "remoteler-checkpoint-v1"
#define TOMBSTONE_CONTEXT "remoteler-tombstone-v1"
#define SIGNATURE_BYTES_MAX 256

static struct rl_span span_of(const ProtobufCBinaryData *bytes)
{
    return RL_SPAN(bytes->data, bytes->len);
}

static ProtobufCBinaryData copy_of(struct rl_span bytes)
{
    ProtobufCBinaryData copy = {bytes.n, bytes.n ? rl_alloc(bytes.n) : NULL};
    if (bytes.n)
        memcpy(copy.data, bytes.p, bytes.n);
    return copy;
}

/* ---- signing ---- */

/* The packed body and its signature; both the caller's. */
static rl_code sign(const ProtobufCMessage *body, const char *context, EVP_PKEY *signer,
                    ProtobufCBinaryData *packed, ProtobufCBinaryData *signature,
                    struct rl_error *err)
{
    struct rl_buf signed_bytes;
    size_t n = protobuf_c_message_get_packed_size(body);
    uint8_t *bytes = rl_alloc(n + 1);
    protobuf_c_message_pack(body, bytes);
    rl_buf_init(&signed_bytes, SIGNATURE_BYTES_MAX);
    rl_code rc = rl_key_sign(signer, context, RL_SPAN(bytes, n), &signed_bytes, err);
    if (rc == RL_OK) {
        *packed = copy_of(RL_SPAN(bytes, n));
        *signature = copy_of(rl_buf_span(&signed_bytes));
    }
    rl_buf_fini(&signed_bytes);
    free(bytes);
    return rc;
}

static rl_code check_heads(Pb__ChainHead *const *heads, size_t count, struct rl_error *err)
{
    if (count > RL_LEDGER_HEADS_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu chains; at most %d", count, RL_LEDGER_HEADS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!rl_name_is_uuid(heads[i]->replica) || heads[i]->hash.len != RL_LEDGER_HASH_BYTES ||
            heads[i]->sequence == 0)
            return rl_fail(err, RL_E_INVAL, "the head of a chain is malformed");
        if (i && strcmp(heads[i - 1]->replica, heads[i]->replica) >= 0)
            return rl_fail(err, RL_E_INVAL, "the heads are not in order");
    }
    return RL_OK;
}

rl_code rl_checkpoint_sign(const Pb__Checkpoint *checkpoint, EVP_PKEY *signer, const char *key_id,
                           Pb__SignedCheckpoint **out, struct rl_error *err)
{
    rl_code rc = check_heads(checkpoint->heads, checkpoint->n_heads, err);
    if (rc != RL_OK)
        return rc;
    Pb__SignedCheckpoint *made = rl_alloc(sizeof *made);
    pb__signed_checkpoint__init(made);
    rc = sign(&checkpoint->base, CHECKPOINT_CONTEXT, signer, &made->checkpoint, &made->signature,
              err);
    made->key_id = rl_strdup(key_id);
    if (rc == RL_OK)
        *out = made;
    else
        pb__signed_checkpoint__free_unpacked(made, NULL);
    return rc;
}

rl_code rl_tombstone_sign(const Pb__Tombstone *tombstone, EVP_PKEY *signer, const char *key_id,
                          Pb__SignedTombstone **out, struct rl_error *err)
{
    Pb__SignedTombstone *made = rl_alloc(sizeof *made);
    pb__signed_tombstone__init(made);
    rl_code rc =
        sign(&tombstone->base, TOMBSTONE_CONTEXT, signer, &made->tombstone, &made->signature, err);
    made->key_id = rl_strdup(key_id);
    if (rc == RL_OK)
        *out = made;
    else
        pb__signed_tombstone__free_unpacked(made, NULL);
    return rc;
}

/* ---- extending ---- */

static const Pb__ChainHead *find(Pb__ChainHead *const *heads, size_t count, const char *replica)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(heads[i]->replica, replica) == 0)
            return heads[i];
    return NULL;
}

rl_code rl_checkpoint_check_extends(const Pb__Checkpoint *last, Pb__ChainHead *const *known,
                                    size_t known_count, Pb__ChainHead *const *heads,
                                    size_t head_count, struct rl_error *err)
{
    for (size_t i = 0; last && i < last->n_heads; i++) {
        const Pb__ChainHead *old = last->heads[i];
        const Pb__ChainHead *there = find(known, known_count, old->replica);
        const Pb__ChainHead *now = find(heads, head_count, old->replica);
        if (!there || there->sequence != old->sequence ||
            (!there->is_dropped && !rl_span_equal(span_of(&there->hash), span_of(&old->hash))))
            return rl_fail(
                err, RL_E_DATA_LOSS, "event %llu of chain %s is not what checkpoint %llu says",
                (unsigned long long)old->sequence, old->replica, (unsigned long long)last->number);
        if (!now || now->sequence < old->sequence)
            return rl_fail(
                err, RL_E_DATA_LOSS, "chain %s ends before event %llu, which checkpoint %llu has",
                old->replica, (unsigned long long)old->sequence, (unsigned long long)last->number);
    }
    return RL_OK;
}

/* ---- opening ---- */

static rl_code verify(struct rl_ledger_keys keys, const char *key_id, const char *context,
                      const ProtobufCBinaryData *body, const ProtobufCBinaryData *signature,
                      struct rl_error *err)
{
    for (size_t i = 0; i < keys.count; i++) {
        if (strcmp(keys.keys[i]->id, key_id) != 0)
            continue;
        EVP_PKEY *key = NULL;
        rl_code rc = rl_key_from_spki(span_of(&keys.keys[i]->public_key), &key, err);
        if (rc == RL_OK)
            rc = rl_key_verify(key, context, span_of(body), span_of(signature), err);
        EVP_PKEY_free(key);
        return rc == RL_OK ? RL_OK
                           : rl_fail(err, RL_E_UNAUTHENTICATED, "the signature is not good");
    }
    return rl_fail(err, RL_E_UNAUTHENTICATED, "it is signed by a key that is not pinned here");
}

rl_code rl_checkpoint_open(const Pb__SignedCheckpoint *s, const char *cluster,
                           struct rl_ledger_keys keys, Pb__Checkpoint **out, struct rl_error *err)
{
    rl_code rc = verify(keys, s->key_id, CHECKPOINT_CONTEXT, &s->checkpoint, &s->signature, err);
    if (rc != RL_OK)
        return rc;
    Pb__Checkpoint *c = pb__checkpoint__unpack(NULL, s->checkpoint.len, s->checkpoint.data);
    if (!c)
        return rl_fail(err, RL_E_INVAL, "it can not be read");
    if (strcmp(c->cluster, cluster) != 0)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "it is another cluster's");
    else
        rc = check_heads(c->heads, c->n_heads, err);
    if (rc == RL_OK)
        *out = c;
    else
        pb__checkpoint__free_unpacked(c, NULL);
    return rc;
}

rl_code rl_tombstone_open(const Pb__SignedTombstone *s, const char *cluster,
                          struct rl_ledger_keys keys, Pb__Tombstone **out, struct rl_error *err)
{
    rl_code rc = verify(keys, s->key_id, TOMBSTONE_CONTEXT, &s->tombstone, &s->signature, err);
    if (rc != RL_OK)
        return rc;
    Pb__Tombstone *t = pb__tombstone__unpack(NULL, s->tombstone.len, s->tombstone.data);
    if (!t)
        return rl_fail(err, RL_E_INVAL, "it can not be read");
    if (strcmp(t->cluster, cluster) != 0)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "it is another cluster's");
    else if (t->prev_hash.len != RL_LEDGER_HASH_BYTES || t->hash.len != RL_LEDGER_HASH_BYTES ||
             t->first_sequence == 0 || t->last_sequence < t->first_sequence)
        rc = rl_fail(err, RL_E_INVAL, "it is malformed");
    if (rc == RL_OK)
        *out = t;
    else
        pb__tombstone__free_unpacked(t, NULL);
    return rc;
}
