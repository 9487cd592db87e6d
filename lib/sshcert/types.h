/* types: the one table of key types, private to this library. */
#ifndef RL_SSHCERT_TYPES_H
#define RL_SSHCERT_TYPES_H

#include "bytes/buf.h"

#include <openssl/evp.h>

enum key_family { KEY_ED25519, KEY_ECDSA, KEY_RSA };

struct key_type {
    const char *name;      /* as a key */
    const char *cert_name; /* as the key inside a certificate */
    enum key_family family;
    bool is_security_key;    /* FIDO: application at the end, flags and counter in signatures */
    unsigned fields;         /* strings after the type */
    const char *curve;       /* ECDSA: SSH's name */
    const char *group;       /* ECDSA: OpenSSL's */
    const char *digest;      /* ECDSA: OpenSSL's */
    size_t coordinate_bytes; /* ECDSA: of r and s at most, with the mpint's sign byte */
};

/** NULL when there is none. */
const struct key_type *rl_key_type_by_name(struct rl_span name);
const struct key_type *rl_key_type_by_cert_name(struct rl_span name);
const struct key_type *rl_key_type_by_group(const char *group);

/** A public key that was read. `application` borrows from the blob. */
struct public_key {
    const struct key_type *type;
    EVP_PKEY *pkey;
    struct rl_span application;
};

rl_code rl_public_key_parse(struct rl_span blob, struct public_key *out, struct rl_error *err);
/** A positive mpint without superfluous zeros (RFC 4251, 5): one spelling for each number. */
bool rl_mpint_is_canonical(struct rl_span mpint);

#endif
