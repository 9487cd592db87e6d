/* chain: every field has a fixed length or its length before it, so that no two events hash alike.
 */
#include "ledger/ledger.h"
#include "status/memory.h"

#include <openssl/evp.h>

#define DOMAIN "remoteler audit chain 1"

void rl_ledger_hash(const uint8_t before[RL_LEDGER_HASH_BYTES], const char *replica,
                    int64_t sequence, struct rl_span packed, uint8_t out[RL_LEDGER_HASH_BYTES])
{
    struct rl_buf head;
    rl_buf_init(&head, RL_COUNT(DOMAIN) + RL_LEDGER_HASH_BYTES + strlen(replica) + 32);
    rl_buf_put(&head, DOMAIN, sizeof DOMAIN);
    rl_buf_put(&head, before, RL_LEDGER_HASH_BYTES);
    rl_buf_put_string(&head, rl_span_of(replica));
    rl_buf_put_u64(&head, (uint64_t)sequence);
    rl_buf_put_u64(&head, packed.n);
    RL_NEED_MEMORY(!head.failed, head.max);
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    bool is_hashed = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1 &&
                     EVP_DigestUpdate(sha, head.p, head.n) == 1 &&
                     EVP_DigestUpdate(sha, packed.p, packed.n) == 1 &&
                     EVP_DigestFinal_ex(sha, out, NULL) == 1;
    RL_NEED_MEMORY(is_hashed, 0);
    EVP_MD_CTX_free(sha);
    rl_buf_fini(&head);
}

void rl_ledger_sha256(struct rl_span bytes, uint8_t out[RL_LEDGER_HASH_BYTES])
{
    RL_ASSERT(EVP_Digest(bytes.p, bytes.n, out, NULL, EVP_sha256(), NULL) == 1);
}
