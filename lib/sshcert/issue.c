/* issue: writes and signs certificates. What rl_sshcert_parse() would refuse is not issued. */
#include "bytes/secret.h"
#include "sshcert/sshcert.h"

#include "types.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_BYTES 32

static rl_code check_principals(const struct rl_sshcert_request *r, struct rl_error *err)
{
    if (r->principals_n == 0 || r->principals_n > RL_SSHCERT_PRINCIPALS_MAX)
        return rl_fail(err, RL_E_INVAL, "a certificate needs 1 to %d principals, not %zu",
                       RL_SSHCERT_PRINCIPALS_MAX, r->principals_n);
    for (size_t i = 0; i < r->principals_n; i++) {
        size_t n = strlen(r->principals[i]);
        if (n == 0 || n > RL_SSHCERT_PRINCIPAL_BYTES_MAX)
            return rl_fail(err, RL_E_INVAL, "a principal has 1 to %d bytes, not %zu",
                           RL_SSHCERT_PRINCIPAL_BYTES_MAX, n);
    }
    return RL_OK;
}

static rl_code check_request(const struct rl_sshcert_request *r, struct rl_error *err)
{
    if (r->kind != RL_SSHCERT_USER && r->kind != RL_SSHCERT_HOST)
        return rl_fail(err, RL_E_INVAL, "a certificate is a user's or a host's");
    if (r->valid_after_s >= r->valid_before_s)
        return rl_fail(err, RL_E_INVAL, "the certificate would end before it begins");
    if (strlen(r->key_id) > RL_SSHCERT_KEY_ID_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "the key id is longer than %d bytes",
                       RL_SSHCERT_KEY_ID_BYTES_MAX);
    if (r->critical_n > RL_SSHCERT_OPTIONS_MAX || r->extensions_n > RL_SSHCERT_OPTIONS_MAX)
        return rl_fail(err, RL_E_INVAL, "a certificate takes %d options of a kind",
                       RL_SSHCERT_OPTIONS_MAX);
    return check_principals(r, err);
}

static int compare_options(const void *a, const void *b)
{
    const struct rl_sshcert_option *left = a;
    const struct rl_sshcert_option *right = b;
    return strcmp(left->name, right->name);
}

/* Appends the options, sorted, as one string. */
static rl_code put_options(const struct rl_sshcert_option *options, size_t n, struct rl_buf *out,
                           struct rl_error *err)
{
    struct rl_sshcert_option sorted[RL_SSHCERT_OPTIONS_MAX] = {{NULL, {NULL, 0}}};
    if (n)
        memcpy(sorted, options, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_options);
    struct rl_buf packed;
    struct rl_buf data;
    rl_buf_init(&packed, RL_SSHCERT_BYTES_MAX);
    rl_buf_init(&data, RL_SSHCERT_BYTES_MAX);
    rl_code rc = RL_OK;
    for (size_t i = 0; i < n && rc == RL_OK; i++) {
        if (!*sorted[i].name || (i && strcmp(sorted[i - 1].name, sorted[i].name) == 0))
            rc = rl_fail(err, RL_E_INVAL, "certificate option \"%s\" is given twice or unnamed",
                         sorted[i].name);
        rl_buf_clear(&data);
        if (sorted[i].value.n)
            rl_buf_put_string(&data, sorted[i].value);
        rl_buf_put_string(&packed, rl_span_of(sorted[i].name));
        if (data.failed || !rl_buf_put_string(&packed, rl_buf_span(&data)))
            packed.failed = true;
    }
    if (rc == RL_OK && (packed.failed || !rl_buf_put_string(out, rl_buf_span(&packed))))
        rc = rl_fail(err, RL_E_INVAL, "the certificate's options are too large");
    rl_buf_fini(&packed);
    rl_buf_fini(&data);
    return rc;
}

static rl_code put_subject(struct rl_span subject, struct rl_buf *out, struct rl_error *err)
{
    struct public_key key;
    rl_code rc = rl_public_key_parse(subject, &key, err);
    if (rc != RL_OK) {
        rl_error_prefix(err, "the key to certify");
        return rc;
    }
    EVP_PKEY_free(key.pkey);
    struct rl_cursor c = rl_cursor_of(subject);
    rl_cursor_string(&c);
    uint8_t nonce[NONCE_BYTES];
    rl_random(nonce, sizeof nonce);
    rl_buf_put_string(out, rl_span_of(key.type->cert_name));
    rl_buf_put_string(out, RL_SPAN(nonce, sizeof nonce));
    rl_buf_put(out, c.p, c.n);
    return RL_OK;
}

static void put_principals(const struct rl_sshcert_request *r, struct rl_buf *out)
{
    struct rl_buf packed;
    rl_buf_init(&packed, RL_SSHCERT_BYTES_MAX);
    for (size_t i = 0; i < r->principals_n; i++)
        rl_buf_put_string(&packed, rl_span_of(r->principals[i]));
    if (packed.failed)
        out->failed = true;
    rl_buf_put_string(out, rl_buf_span(&packed));
    rl_buf_fini(&packed);
}

/* Everything that is signed. */
static rl_code put_signed_part(const struct rl_sshcert_request *r, EVP_PKEY *ca, struct rl_buf *out,
                               struct rl_error *err)
{
    rl_code rc = put_subject(r->subject, out, err);
    if (rc != RL_OK)
        return rc;
    rl_buf_put_u64(out, r->serial);
    rl_buf_put_u32(out, r->kind);
    rl_buf_put_string(out, rl_span_of(r->key_id));
    put_principals(r, out);
    rl_buf_put_u64(out, r->valid_after_s);
    rl_buf_put_u64(out, r->valid_before_s);
    rc = put_options(r->critical, r->critical_n, out, err);
    if (rc == RL_OK)
        rc = put_options(r->extensions, r->extensions_n, out, err);
    if (rc != RL_OK)
        return rc;
    rl_buf_put_string(out, rl_span_of("")); /* reserved */
    struct rl_buf key;
    rl_buf_init(&key, RL_SSHKEY_BLOB_BYTES_MAX);
    rc = rl_sshkey_public_blob(ca, &key, err);
    if (rc == RL_OK)
        rl_buf_put_string(out, rl_buf_span(&key));
    rl_buf_fini(&key);
    return rc;
}

rl_code rl_sshcert_issue(const struct rl_sshcert_request *request, EVP_PKEY *ca,
                         struct rl_buf *out_blob, struct rl_error *err)
{
    struct rl_buf cert;
    struct rl_buf signature;
    rl_buf_init(&cert, RL_SSHCERT_BYTES_MAX);
    rl_buf_init(&signature, RL_SSHKEY_SIGNATURE_BYTES_MAX);
    rl_code rc = check_request(request, err);
    if (rc == RL_OK)
        rc = put_signed_part(request, ca, &cert, err);
    if (rc == RL_OK)
        rc = rl_sshkey_sign(ca, rl_buf_span(&cert), &signature, err);
    if (rc != RL_OK)
        goto out;
    rl_buf_put_string(&cert, rl_buf_span(&signature));
    if (cert.failed || !rl_buf_put_span(out_blob, rl_buf_span(&cert)))
        rc = rl_fail(err, RL_E_INVAL, "the certificate would be larger than %d bytes",
                     RL_SSHCERT_BYTES_MAX);
out:
    rl_buf_fini(&cert);
    rl_buf_fini(&signature);
    return rc;
}
