/* parse: reads a certificate that a stranger sent. Strict: one spelling for each certificate,
 * options in order and once, nothing after the end. */
#include "sshcert/sshcert.h"

#include "types.h"

#include <string.h>

static int compare_names(struct rl_span a, struct rl_span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

struct option_walk {
    struct rl_cursor cursor;
    struct rl_span name, value;
    unsigned count;
    bool is_malformed;
};

/* Reads the next option. A value is a string inside the data; a flag's data are empty. */
static bool next_option(struct option_walk *w)
{
    if (w->cursor.failed || w->cursor.n == 0 || w->is_malformed)
        return false;
    struct rl_span previous = w->name;
    w->name = rl_cursor_string(&w->cursor);
    struct rl_cursor data = rl_cursor_of(rl_cursor_string(&w->cursor));
    w->value = data.n ? rl_cursor_string(&data) : RL_SPAN(NULL, 0);
    bool in_order = w->count == 0 || compare_names(previous, w->name) < 0;
    if (w->cursor.failed || !rl_cursor_done(&data) || !in_order || w->name.n == 0 ||
        ++w->count > RL_SSHCERT_OPTIONS_MAX) {
        w->is_malformed = true;
        return false;
    }
    return true;
}

static rl_code read_critical(struct rl_span packed, struct rl_sshcert *cert, struct rl_error *err)
{
    struct option_walk w = {.cursor = rl_cursor_of(packed)};
    while (next_option(&w)) {
        if (rl_span_is(w.name, "force-command")) {
            cert->has_force_command = true;
            cert->force_command = w.value;
        } else if (rl_span_is(w.name, "source-address")) {
            cert->has_source_address = true;
            cert->source_address = w.value;
        } else {
            return rl_fail(err, RL_E_DENIED,
                           "certificate has a critical option \"%.*s\" that "
                           "this version does not know",
                           w.name.n < 64 ? (int)w.name.n : 64, (const char *)w.name.p);
        }
    }
    if (w.is_malformed)
        return rl_fail(err, RL_E_INVAL, "certificate: malformed critical options");
    return RL_OK;
}

static rl_code read_extensions(struct rl_span packed, struct rl_sshcert *cert, struct rl_error *err)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"permit-pty", &cert->permit_pty},
        {"permit-port-forwarding", &cert->permit_port_forwarding},
        {"permit-agent-forwarding", &cert->permit_agent_forwarding},
        {"permit-user-rc", &cert->permit_user_rc},
    };
    struct option_walk w = {.cursor = rl_cursor_of(packed)};
    while (next_option(&w)) {
        for (size_t i = 0; i < RL_COUNT(flags); i++)
            if (rl_span_is(w.name, flags[i].name) && w.value.n == 0)
                *flags[i].flag = true;
        if (rl_span_is(w.name, RL_SSHCERT_EXTENSION_IDENTITY))
            cert->identity = w.value;
    }
    if (w.is_malformed)
        return rl_fail(err, RL_E_INVAL, "certificate: malformed extensions");
    return RL_OK;
}

bool rl_sshcert_principal(const struct rl_sshcert *cert, size_t *at, struct rl_span *out)
{
    if (*at >= cert->principals.n)
        return false;
    struct rl_cursor c = rl_cursor_of(RL_SPAN(cert->principals.p + *at, cert->principals.n - *at));
    struct rl_span name = rl_cursor_string(&c);
    if (c.failed)
        return false;
    *at = cert->principals.n - c.n;
    *out = name;
    return true;
}

static rl_code check_principals(const struct rl_sshcert *cert, struct rl_error *err)
{
    size_t at = 0;
    size_t count = 0;
    struct rl_span name;
    while (rl_sshcert_principal(cert, &at, &name))
        if (name.n == 0 || name.n > RL_SSHCERT_PRINCIPAL_BYTES_MAX || memchr(name.p, 0, name.n) ||
            ++count > RL_SSHCERT_PRINCIPALS_MAX)
            return rl_fail(err, RL_E_INVAL, "certificate: malformed or too many principals");
    if (at != cert->principals.n)
        return rl_fail(err, RL_E_INVAL, "certificate: malformed principals");
    return RL_OK;
}

static rl_code read_ca_key(struct rl_span ca_key, struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(ca_key);
    struct rl_span type = rl_cursor_string(&c);
    if (rl_key_type_by_cert_name(type))
        return rl_fail(err, RL_E_INVAL, "certificate was signed by what is itself a certificate");
    if (!rl_key_type_by_name(type))
        return rl_fail(err, RL_E_INVAL, "certificate's authority has an unsupported key");
    return RL_OK;
}

/* Reads the fields up to the signature; `options` gets critical options and extensions. */
static rl_code read_fields(struct rl_span blob, struct rl_sshcert *cert, struct rl_span options[2],
                           struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(blob);
    cert->blob = blob;
    cert->type_name = rl_cursor_string(&c);
    const struct key_type *type = rl_key_type_by_cert_name(cert->type_name);
    if (!type)
        return rl_fail(err, RL_E_INVAL, "not a supported kind of OpenSSH certificate");
    rl_cursor_string(&c); /* nonce */
    const uint8_t *fields = c.p;
    for (unsigned i = 0; i < type->fields; i++)
        rl_cursor_string(&c);
    cert->subject_fields = RL_SPAN(fields, (size_t)(c.p - fields));
    cert->serial = rl_cursor_u64(&c);
    uint32_t kind = rl_cursor_u32(&c);
    cert->key_id = rl_cursor_string(&c);
    cert->principals = rl_cursor_string(&c);
    cert->valid_after_s = rl_cursor_u64(&c);
    cert->valid_before_s = rl_cursor_u64(&c);
    options[0] = rl_cursor_string(&c);
    options[1] = rl_cursor_string(&c);
    struct rl_span reserved = rl_cursor_string(&c);
    cert->ca_key = rl_cursor_string(&c);
    cert->signed_part = RL_SPAN(blob.p, (size_t)(c.p - blob.p));
    cert->signature = rl_cursor_string(&c);
    if (!rl_cursor_done(&c))
        return rl_fail(err, RL_E_INVAL, "certificate is cut off or has something after its end");
    if (kind != RL_SSHCERT_USER && kind != RL_SSHCERT_HOST)
        return rl_fail(err, RL_E_INVAL, "certificate is neither a user's nor a host's");
    if (reserved.n || cert->key_id.n > RL_SSHCERT_KEY_ID_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "certificate: malformed key id or reserved field");
    cert->kind = (enum rl_sshcert_kind)kind;
    return RL_OK;
}

rl_code rl_sshcert_parse(struct rl_span blob, struct rl_sshcert *out, struct rl_error *err)
{
    if (blob.n > RL_SSHCERT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "certificate of %zu bytes is larger than %d", blob.n,
                       RL_SSHCERT_BYTES_MAX);
    struct rl_sshcert cert = {0};
    struct rl_span options[2];
    rl_code rc = read_fields(blob, &cert, options, err);
    if (rc == RL_OK)
        rc = read_ca_key(cert.ca_key, err);
    if (rc == RL_OK)
        rc = check_principals(&cert, err);
    if (rc == RL_OK)
        rc = read_critical(options[0], &cert, err);
    if (rc == RL_OK)
        rc = read_extensions(options[1], &cert, err);
    if (rc == RL_OK)
        *out = cert;
    return rc;
}

rl_code rl_sshcert_subject_blob(const struct rl_sshcert *cert, struct rl_buf *out,
                                struct rl_error *err)
{
    const struct key_type *type = rl_key_type_by_cert_name(cert->type_name);
    RL_ASSERT(type);
    size_t before = out->n;
    rl_buf_put_string(out, rl_span_of(type->name));
    rl_buf_put_span(out, cert->subject_fields);
    if (out->failed) {
        out->n = before;
        return rl_fail(err, RL_E_INVAL, "the certified key does not fit its buffer");
    }
    return RL_OK;
}
