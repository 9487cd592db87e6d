/* chain: each replica chains the events that it takes, so that none can be changed, left out or put
 * in later without breaking every hash after it. Pure.
 */
#ifndef RL_AUDIT_CHAIN_H
#define RL_AUDIT_CHAIN_H

#include "bytes/buf.h"

#define RL_AUDIT_HASH_BYTES 32

/** SHA-256 over a domain, the hash before (32 zeros for a replica's first event), the replica, the
 * event's number in its chain (from 1), and the event as it is stored. */
void rl_audit_chain_hash(const uint8_t before[RL_AUDIT_HASH_BYTES], const char *replica,
                         int64_t sequence, struct rl_span packed, uint8_t out[RL_AUDIT_HASH_BYTES]);

#endif
