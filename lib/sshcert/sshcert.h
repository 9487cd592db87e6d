/* sshcert: OpenSSH certificates, issued, read and checked (OpenSSH PROTOCOL.certkeys).
 *
 * What is read here has been chosen by a stranger until rl_sshcert_verify() has said that a
 * trusted authority signed it. Unknown critical options refuse; unknown extensions are ignored;
 * an empty list of principals lets nobody in. No I/O; all functions are thread-safe.
 */
#ifndef RL_SSHCERT_SSHCERT_H
#define RL_SSHCERT_SSHCERT_H

#include "sshcert/sshkey.h"

#define RL_SSHCERT_BYTES_MAX 32768
#define RL_SSHCERT_PRINCIPALS_MAX 256
#define RL_SSHCERT_PRINCIPAL_BYTES_MAX 256
#define RL_SSHCERT_KEY_ID_BYTES_MAX 256
#define RL_SSHCERT_OPTIONS_MAX 32
/** valid_before_s of a certificate that does not end. */
#define RL_SSHCERT_FOREVER UINT64_MAX

/** The extension that carries who the user is; its value is opaque here. */
#define RL_SSHCERT_EXTENSION_IDENTITY "identity@remoteler.internal"

enum rl_sshcert_kind { RL_SSHCERT_USER = 1, RL_SSHCERT_HOST = 2 };

/** A critical option or an extension. An empty value is a flag ("permit-pty"). */
struct rl_sshcert_option {
    const char *name;
    struct rl_span value;
};

struct rl_sshcert_request {
    enum rl_sshcert_kind kind;
    struct rl_span subject; /* public key blob */
    uint64_t serial;
    const char *key_id;
    const char *const *principals;
    size_t principals_n; /* 1..RL_SSHCERT_PRINCIPALS_MAX */
    uint64_t valid_after_s, valid_before_s;
    const struct rl_sshcert_option *critical; /* in any order; written sorted */
    size_t critical_n;
    const struct rl_sshcert_option *extensions;
    size_t extensions_n;
};

/** A certificate that was read: every span borrows from `blob`, which the caller keeps. */
struct rl_sshcert {
    struct rl_span blob;
    struct rl_span type_name;      /* "ssh-ed25519-cert-v01@openssh.com" */
    struct rl_span subject_fields; /* the key's own fields, without its type */
    struct rl_span key_id, ca_key, signature, signed_part;
    struct rl_span principals; /* packed; rl_sshcert_principal() */
    enum rl_sshcert_kind kind;
    uint64_t serial, valid_after_s, valid_before_s;
    bool has_force_command, has_source_address;
    struct rl_span force_command, source_address;
    bool permit_pty, permit_port_forwarding, permit_agent_forwarding, permit_user_rc;
    struct rl_span identity; /* RL_SSHCERT_EXTENSION_IDENTITY; n is 0 when there is none */
};

/** Issues a certificate and appends its blob.
 *
 * `ca`    an Ed25519 private key, borrowed
 * Errors  RL_E_INVAL: the subject is not a plain key, no or too many principals, an empty one, a
 *         name twice, an end before the beginning */
rl_code rl_sshcert_issue(const struct rl_sshcert_request *request, EVP_PKEY *ca,
                         struct rl_buf *out_blob, struct rl_error *err);

/** Reads a blob; says nothing about whether it is to be trusted.
 * Errors  RL_E_INVAL: malformed, of an unknown type, too large, signed by what is itself a
 *         certificate (CVE-2025-49825); RL_E_DENIED: a critical option that is not known */
rl_code rl_sshcert_parse(struct rl_span blob, struct rl_sshcert *out, struct rl_error *err);

/** Checks that one of the trusted authorities, given as public key blobs, signed it.
 * Errors  RL_E_DENIED */
rl_code rl_sshcert_verify(const struct rl_sshcert *cert, const struct rl_span *authorities,
                          size_t authorities_n, struct rl_error *err);

/** Checks that it is a user's, for this login, now, from this address.
 *
 * `login`         NULL: of another cluster, whose principals are logins there and mean nothing
 *                 here; who asks decides by what it knows of the user
 * `now_s`         seconds since 1970
 * `peer_address`  IP address as text, without a port; NULL or "" when it is not known: then
 *                 a certificate bound to addresses is refused
 * Errors          RL_E_DENIED with the reason, in words for the user */
rl_code rl_sshcert_check_user(const struct rl_sshcert *cert, const char *login, int64_t now_s,
                              const char *peer_address, struct rl_error *err);

/** The same for a host certificate and the name that was dialled. */
rl_code rl_sshcert_check_host(const struct rl_sshcert *cert, const char *host, int64_t now_s,
                              struct rl_error *err);

/** Checks a signature over data by the certified key.
 *
 * `algorithm`  the public key algorithm of the request, "rsa-sha2-512-cert-v01@openssh.com": the
 *              signature must be of just that. Errors: RL_E_DENIED
 * Source       RFC 4252, 7; RFC 8332, 3.2 */
rl_code rl_sshcert_check_possession(const struct rl_sshcert *cert, struct rl_span algorithm,
                                    struct rl_span signature, struct rl_span data,
                                    struct rl_error *err);

/** Appends the certified key as a plain public key blob. */
rl_code rl_sshcert_subject_blob(const struct rl_sshcert *cert, struct rl_buf *out,
                                struct rl_error *err);

/** Walks the principals: start with *at = 0; false at the end. */
bool rl_sshcert_principal(const struct rl_sshcert *cert, size_t *at, struct rl_span *out);

#endif
