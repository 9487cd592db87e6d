/* shim: what libssh would do with private keys goes to the monitor instead.
 *
 * Debian's libssh.a is left as it is: the linker's --wrap puts these functions before its own.
 * They do three things: offer the host certificate, which libssh's own interface refuses without
 * a word; have the monitor sign the exchange hash; have the monitor check the user's signature.
 * libssh holds a throw-away key of its own and signs nothing with it.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define CERT_SUFFIX "-cert-v01@openssh.com"
#define NAME_BYTES_MAX 64
#define LIST_BYTES_MAX 1024
#define KEX_HOST_KEYS 1 /* enum ssh_kex_types_e: the second list of KEXINIT (RFC 4253, 7.1) */
#define COOKIE_BYTES 16
#define MESSAGE_USERAUTH_REQUEST 50

static struct {
    struct transport *transport;
    ssh_string public_key, certificate;
    char certificate_type[NAME_BYTES_MAX];
    bool certificate_was_negotiated;
    uint8_t cookie[COOKIE_BYTES];
    bool has_cookie;
    bool is_hashing;      /* inside ssh_make_sessionid() */
    struct rl_buf hashed; /* what it hashed: RFC 4253, 8 */
    ssh_string user_signature;
    bool is_authenticated;
} shim;

static ssh_string string_of(struct rl_span s)
{
    ssh_string out = ssh_string_new(s.n);
    if (out && s.n)
        ssh_string_fill(out, s.p, s.n);
    return out;
}

bool rl_shim_init(struct transport *t, struct rl_span public_key, struct rl_span certificate,
                  struct rl_span cookie)
{
    if (cookie.n != COOKIE_BYTES)
        return false;
    shim.transport = t;
    rl_buf_init(&shim.hashed, RL_WIRE_BYTES_MAX / 2);
    memcpy(shim.cookie, cookie.p, COOKIE_BYTES);
    shim.has_cookie = true;
    shim.public_key = string_of(public_key);
    if (certificate.n) {
        struct rl_cursor c = rl_cursor_of(certificate);
        rl_wire_text(&c, shim.certificate_type, sizeof shim.certificate_type);
        shim.certificate = string_of(certificate);
        return shim.public_key && shim.certificate && !c.failed;
    }
    return shim.public_key != NULL;
}

bool rl_shim_is_authenticated(void)
{
    return shim.is_authenticated;
}

/* ---- the host's public half ---- */

int __real_ssh_options_set_algo(ssh_session session, int which, const char *list);
int __wrap_ssh_options_set_algo(ssh_session session, int which, const char *list);
int __real_ssh_dh_import_next_pubkey_blob(ssh_session session, ssh_string blob);
int __wrap_ssh_dh_import_next_pubkey_blob(ssh_session session, ssh_string blob);
int __real_ssh_key_type_from_signature_name(const char *name);
int __wrap_ssh_key_type_from_signature_name(const char *name);
int __real_ssh_key_hash_from_name(const char *name);
int __wrap_ssh_key_hash_from_name(const char *name);

/* "ssh-ed25519-cert-v01@openssh.com" -> "ssh-ed25519": libssh knows no certificates of its own. */
static const char *without_suffix(const char *name, char out[NAME_BYTES_MAX])
{
    const char *suffix = name ? strstr(name, CERT_SUFFIX) : NULL;
    if (!suffix)
        return name;
    snprintf(out, NAME_BYTES_MAX, "%.*s", (int)(suffix - name), name);
    return out;
}

int __wrap_ssh_options_set_algo(ssh_session session, int which, const char *list)
{
    char with_certificate[LIST_BYTES_MAX];
    if (which == KEX_HOST_KEYS && shim.certificate && !strstr(list, CERT_SUFFIX)) {
        snprintf(with_certificate, sizeof with_certificate, "%s,%s", shim.certificate_type, list);
        list = with_certificate;
    }
    return __real_ssh_options_set_algo(session, which, list);
}

int __wrap_ssh_key_type_from_signature_name(const char *name)
{
    char plain[NAME_BYTES_MAX];
    shim.certificate_was_negotiated = name && strstr(name, CERT_SUFFIX);
    return __real_ssh_key_type_from_signature_name(without_suffix(name, plain));
}

int __wrap_ssh_key_hash_from_name(const char *name)
{
    char plain[NAME_BYTES_MAX];
    return __real_ssh_key_hash_from_name(without_suffix(name, plain));
}

/* `blob` is the throw-away key's: K_S is the host's certificate or key. */
int __wrap_ssh_dh_import_next_pubkey_blob(ssh_session session, ssh_string blob)
{
    (void)blob;
    bool use_certificate = shim.certificate_was_negotiated && shim.certificate;
    return __real_ssh_dh_import_next_pubkey_blob(session, use_certificate ? shim.certificate
                                                                          : shim.public_key);
}

/* ---- the cookie ----
 * The first KEXINIT's is the monitor's: it makes the exchange hash, so the session id, one that
 * the monitor has never seen, and an old login worthless. */

int __real_ssh_get_random(void *out, int n, int is_strong);
int __wrap_ssh_get_random(void *out, int n, int is_strong);

int __wrap_ssh_get_random(void *out, int n, int is_strong)
{
    if (n != COOKIE_BYTES || !shim.has_cookie)
        return __real_ssh_get_random(out, n, is_strong);
    memcpy(out, shim.cookie, COOKIE_BYTES);
    shim.has_cookie = false;
    return 1;
}

/* ---- the exchange hash ---- */

int __real_ssh_make_sessionid(ssh_session session);
int __wrap_ssh_make_sessionid(ssh_session session);
void __real_sha256(const unsigned char *data, size_t n, unsigned char *out);
void __wrap_sha256(const unsigned char *data, size_t n, unsigned char *out);
void __real_sha384(const unsigned char *data, size_t n, unsigned char *out);
void __wrap_sha384(const unsigned char *data, size_t n, unsigned char *out);
void __real_sha512(const unsigned char *data, size_t n, unsigned char *out);
void __wrap_sha512(const unsigned char *data, size_t n, unsigned char *out);
ssh_string __wrap_ssh_srv_pki_do_sign_sessionid(ssh_session session, ssh_key key, int digest);

int __wrap_ssh_make_sessionid(ssh_session session)
{
    shim.is_hashing = true;
    rl_buf_clear(&shim.hashed);
    int rc = __real_ssh_make_sessionid(session);
    shim.is_hashing = false;
    return rc;
}

static void keep(const unsigned char *data, size_t n)
{
    if (!shim.is_hashing)
        return;
    rl_buf_clear(&shim.hashed);
    rl_buf_put(&shim.hashed, data, n);
}

void __wrap_sha256(const unsigned char *data, size_t n, unsigned char *out)
{
    keep(data, n);
    __real_sha256(data, n, out);
}

void __wrap_sha384(const unsigned char *data, size_t n, unsigned char *out)
{
    keep(data, n);
    __real_sha384(data, n, out);
}

void __wrap_sha512(const unsigned char *data, size_t n, unsigned char *out)
{
    keep(data, n);
    __real_sha512(data, n, out);
}

ssh_string __wrap_ssh_srv_pki_do_sign_sessionid(ssh_session session, ssh_key key, int digest)
{
    (void)session;
    (void)key;
    (void)digest;
    struct rl_wire_message *m = &shim.transport->message;
    rl_wire_begin(m, RL_WIRE_SIGN);
    rl_buf_put_string(&m->body, rl_buf_span(&shim.hashed));
    rl_buf_clear(&shim.hashed);
    if (rl_monitor_ask(shim.transport) != RL_WIRE_YES)
        return NULL;
    struct rl_cursor c = rl_wire_fields(m);
    struct rl_span signature = rl_cursor_string(&c);
    return rl_cursor_done(&c) ? string_of(signature) : NULL;
}

/* ---- the user's signature ---- */

int __real_ssh_pki_import_signature_blob(ssh_string blob, ssh_key key, void **out);
int __wrap_ssh_pki_import_signature_blob(ssh_string blob, ssh_key key, void **out);
int __real_ssh_pki_signature_verify(ssh_session session, void *signature, ssh_key key,
                                    const unsigned char *input, size_t n);
int __wrap_ssh_pki_signature_verify(ssh_session session, void *signature, ssh_key key,
                                    const unsigned char *input, size_t n);

int __wrap_ssh_pki_import_signature_blob(ssh_string blob, ssh_key key, void **out)
{
    ssh_string_free(shim.user_signature);
    shim.user_signature = ssh_string_copy(blob);
    return __real_ssh_pki_import_signature_blob(blob, key, out);
}

/* What was signed (RFC 4252, 7): session id, 50, login, service, "publickey", TRUE, algorithm,
 * key. All but the first go to the monitor, which has its own. */
static bool put_verify(struct rl_wire_message *m, struct rl_span input)
{
    struct rl_cursor c = rl_cursor_of(input);
    rl_cursor_string(&c);
    bool ok = rl_cursor_u8(&c) == MESSAGE_USERAUTH_REQUEST;
    struct rl_span login = rl_cursor_string(&c);
    struct rl_span service = rl_cursor_string(&c);
    rl_cursor_string(&c);
    rl_cursor_u8(&c);
    struct rl_span algorithm = rl_cursor_string(&c);
    struct rl_span key = rl_cursor_string(&c);
    rl_wire_begin(m, RL_WIRE_VERIFY);
    rl_buf_put_string(&m->body, login);
    rl_buf_put_string(&m->body, service);
    rl_buf_put_string(&m->body, algorithm);
    rl_buf_put_string(&m->body, key);
    rl_buf_put_string(&m->body, RL_SPAN(ssh_string_data(shim.user_signature),
                                        ssh_string_len(shim.user_signature)));
    return ok && rl_cursor_done(&c);
}

static void take_verdict(struct transport *t, enum rl_wire_type answer)
{
    char text[RL_SSHD_MESSAGE_BYTES_MAX];
    struct rl_cursor c = rl_wire_fields(&t->message);
    bool flag = rl_cursor_u8(&c) != 0;
    rl_wire_text(&c, text, sizeof text);
    if (t->is_ending)
        rl_auth_show(t, t->end_text); /* the client may go before it reads why we disconnect */
    if (t->is_ending || !rl_cursor_done(&c))
        return;
    shim.is_authenticated = answer == RL_WIRE_YES;
    t->permits_pty = shim.is_authenticated && flag;
    t->is_refused = !shim.is_authenticated && flag;
    snprintf(t->end_text, sizeof t->end_text, "%s", t->is_refused ? text : "");
    rl_auth_show(t, text);
}

/* A bad signature never reaches the monitor: it would take it for a lie. For a good one this is
 * always OK, and rl_auth_public_key() says whether the user is let in: after an error here libssh
 * 0.10 sends no answer at all, and the client waits for ever. */
int __wrap_ssh_pki_signature_verify(ssh_session session, void *signature, ssh_key key,
                                    const unsigned char *input, size_t n)
{
    if (__real_ssh_pki_signature_verify(session, signature, key, input, n) != SSH_OK ||
        !shim.user_signature)
        return SSH_ERROR;
    struct transport *t = shim.transport;
    if (shim.is_authenticated || !put_verify(&t->message, RL_SPAN(input, n)))
        return SSH_ERROR;
    take_verdict(t, rl_monitor_ask(t));
    return SSH_OK;
}
