/* sshkey: SSH keys and signatures, between their wire form and OpenSSL's.
 *
 * A public key travels as a blob (RFC 4253, 6.6), is written down as a line ("ssh-ed25519 AAAA...
 * comment") and is shown as a fingerprint. SHA-1 signatures and RSA keys below 2048 bits do not
 * exist here. All functions are pure and thread-safe.
 */
#ifndef RL_SSHCERT_SSHKEY_H
#define RL_SSHCERT_SSHKEY_H

#include "bytes/buf.h"

#include <openssl/evp.h>

#define RL_SSHKEY_BLOB_BYTES_MAX 4096
#define RL_SSHKEY_RSA_BITS_MIN 2048
#define RL_SSHKEY_RSA_BITS_MAX 16384
#define RL_SSHKEY_SIGNATURE_BYTES_MAX 4096
#define RL_SSHKEY_COMMENT_BYTES_MAX 256
/** Bytes of a line: the longest blob in base64, a type and a comment. */
#define RL_SSHKEY_LINE_BYTES_MAX 8192
/** Bytes of an unencrypted Ed25519 private key as text; others are refused. */
#define RL_SSHKEY_PRIVATE_BYTES_MAX 4096

/** Makes a new Ed25519 key. *out is the caller's, freed with EVP_PKEY_free(). */
rl_code rl_sshkey_generate(EVP_PKEY **out, struct rl_error *err);

/** Appends the blob of the public half of an Ed25519, ECDSA (P-256, P-384, P-521) or RSA key.
 * Errors: RL_E_INVAL for another kind of key. */
rl_code rl_sshkey_public_blob(EVP_PKEY *key, struct rl_buf *out, struct rl_error *err);

/** Reads a blob. Security keys (sk-...) give the key inside them, without their application.
 * Owns    *out is the caller's
 * Errors  RL_E_INVAL: unknown type, malformed, a point off its curve, RSA out of range, or a
 *         certificate where a key is wanted (CVE-2025-49825)
 * Source  RFC 4253, 6.6; RFC 5656, 3.1; RFC 8709, 4; OpenSSH PROTOCOL.u2f */
rl_code rl_sshkey_public_parse(struct rl_span blob, EVP_PKEY **out, struct rl_error *err);

/** Reads "type base64 [comment]", as in authorized_keys without options or a .pub file, and
 * appends the blob, which may be a certificate's. The type must be the blob's own. */
rl_code rl_sshkey_line_parse(const char *line, struct rl_buf *blob, struct rl_error *err);
/** Writes such a line without a newline; `comment` may be NULL. Heap text, the caller frees.
 * NULL when the blob does not begin with a type. */
char *rl_sshkey_line_format(struct rl_span blob, const char *comment);
/** "SHA256:..." as ssh-keygen -l prints it. Heap text, the caller frees. */
char *rl_sshkey_fingerprint(struct rl_span blob);

/** Appends the key as openssh-key-v1 text, unencrypted: the file's mode is its protection.
 * `comment` may be NULL. Errors: RL_E_INVAL when it is not Ed25519. */
rl_code rl_sshkey_private_format(EVP_PKEY *key, const char *comment, struct rl_buf *out,
                                 struct rl_error *err);
/** Reads that text. Errors: RL_E_INVAL: malformed, encrypted, not Ed25519, or its two halves do
 * not belong together. Source: OpenSSH PROTOCOL.key */
rl_code rl_sshkey_private_parse(struct rl_span text, EVP_PKEY **out, struct rl_error *err);

/** Appends the signature blob over data by an Ed25519 key. Source: RFC 8709, 6 */
rl_code rl_sshkey_sign(EVP_PKEY *key, struct rl_span data, struct rl_buf *out,
                       struct rl_error *err);
/** Checks a signature blob over data by the key of a blob.
 *
 * `algorithm`  the one that was asked for ("rsa-sha2-512"); with an empty span, whatever suits the
 *              key, never SHA-1
 * Errors       RL_E_DENIED: the signature is not that; RL_E_INVAL: the key is none
 * Source       RFC 5656, 3.1.2; RFC 8332, 3; RFC 8709, 6; OpenSSH PROTOCOL.u2f (a security key
 *              must have seen its user) */
rl_code rl_sshkey_verify(struct rl_span key_blob, struct rl_span algorithm,
                         struct rl_span signature, struct rl_span data, struct rl_error *err);

#endif
