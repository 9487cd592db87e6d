/* login: is it them, may they, and as whom? The certificate is read and checked anew for each
 * question; only the one whose key has signed this connection's session id binds it. */
#include "monitor.h"

#include "names/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS_MAX_DEFAULT 20
#define USERAUTH_REQUEST 50
#define SERVICE_BYTES_MAX 32

struct login {
    char name[RL_SSHD_LOGIN_BYTES_MAX];
    struct rl_span certificate_blob;
    struct rl_sshcert certificate;
    struct account account;
};

/* What a refused login is told: nothing, until the certificate is known to be the cluster's. */
enum refusal { STRANGER, KNOWN };

static void write_down(struct monitor *m, const char *login, const char *reason)
{
    struct rl_sshd_event event = {.type = RL_SSHD_SESSION_REJECTED,
                                  .outcome = RL_SSHD_DENIED,
                                  .login = login,
                                  .reason = reason};
    rl_monitor_event(m, &event);
}

/* An attempt too many ends the connection. */
static bool counts(struct monitor *m)
{
    uint32_t max = m->config->attempts_max ? m->config->attempts_max : ATTEMPTS_MAX_DEFAULT;
    if (++m->attempts <= max)
        return true;
    rl_monitor_end(m, END_GRACEFULLY, "too many keys were offered; try with IdentitiesOnly=yes");
    rl_monitor_answer_no(m, "");
    return false;
}

static rl_code find_account(const struct monitor *m, struct login *l, struct rl_error *err)
{
    struct account_sources from = rl_account_system_sources();
    rl_code rc = rl_account_find(&from, l->name, &l->account, err);
    if (rc != RL_OK)
        return rc;
    if (!m->is_root && l->account.uid != geteuid())
        return rl_fail(err, RL_E_DENIED,
                       "this node's agent does not run as root: it serves its own user only");
    return rl_account_check(&from, &l->account, rl_monitor_wall_s(m), err);
}

/* By an authority of this cluster, or else by one of another. */
static rl_code check_authority(const struct monitor *m, const struct rl_sshcert *certificate,
                               bool *is_foreign, struct rl_error *err)
{
    const struct rl_sshd_config *c = m->config;
    *is_foreign = false;
    rl_code rc = rl_sshcert_verify(certificate, c->user_authorities, c->user_authorities_n, err);
    if (rc == RL_OK || c->foreign_authorities_n == 0)
        return rc;
    *is_foreign = true;
    return rl_sshcert_verify(certificate, c->foreign_authorities, c->foreign_authorities_n, err);
}

/* All that can be said without the key's signature. */
static rl_code check(const struct monitor *m, struct login *l, enum refusal *refusal,
                     struct rl_error *err)
{
    *refusal = STRANGER;
    rl_code rc = rl_name_check_login(l->name, err);
    if (rc == RL_OK)
        rc = rl_sshcert_parse(l->certificate_blob, &l->certificate, err);
    bool is_foreign = false;
    if (rc == RL_OK)
        rc = check_authority(m, &l->certificate, &is_foreign, err);
    if (rc != RL_OK)
        return rc;
    *refusal = KNOWN;
    rc = rl_sshcert_check_user(&l->certificate, is_foreign ? NULL : l->name, rl_monitor_wall_s(m),
                               m->peer, err);
    if (rc != RL_OK)
        return rc;
    return find_account(m, l, err);
}

static void put_denied(char *out, size_t size, const struct monitor *m, const char *why)
{
    const char *node = m->config->node_name ? m->config->node_name : "this node";
    snprintf(out, size, "access denied on %s: %s", node, why);
}

enum verdict rl_login_query(struct monitor *m, struct rl_cursor *c)
{
    struct login *l = rl_alloc(sizeof *l);
    rl_wire_text(c, l->name, sizeof l->name);
    l->certificate_blob = rl_cursor_string(c);
    struct rl_error err;
    enum refusal refusal;
    if (!rl_cursor_done(c)) {
        rl_monitor_refuse(m, "malformed query");
    } else if (counts(m)) {
        if (check(m, l, &refusal, &err) == RL_OK) {
            rl_wire_begin(&m->out, RL_WIRE_YES);
        } else {
            char text[RL_ERROR_MESSAGE_BYTES + 128] = "";
            if (refusal == KNOWN) {
                put_denied(text, sizeof text, m, err.message);
                write_down(m, l->name, err.message);
            }
            rl_monitor_answer_no(m, text);
        }
    }
    free(l);
    return ANSWER;
}

/* ---- the proof ---- */

struct proof {
    char service[SERVICE_BYTES_MAX];
    struct rl_span algorithm, signature;
};

/* RFC 4252, 7, with the session id that the monitor signed itself. */
static rl_code check_possession(const struct monitor *m, const struct login *l,
                                const struct proof *p, struct rl_error *err)
{
    struct rl_buf data;
    rl_buf_init(&data, RL_WIRE_BYTES_MAX);
    rl_buf_put_string(&data, RL_SPAN(m->ssh_session_id, m->ssh_session_id_n));
    rl_buf_put_u8(&data, USERAUTH_REQUEST);
    rl_buf_put_string(&data, rl_span_of(l->name));
    rl_buf_put_string(&data, rl_span_of(p->service));
    rl_buf_put_string(&data, rl_span_of("publickey"));
    rl_buf_put_u8(&data, 1);
    rl_buf_put_string(&data, p->algorithm);
    rl_buf_put_string(&data, l->certificate_blob);
    rl_code rc = data.failed ? rl_fail(err, RL_E_DENIED, "the certificate is too large")
                             : rl_sshcert_check_possession(&l->certificate, p->algorithm,
                                                           p->signature, rl_buf_span(&data), err);
    rl_buf_fini(&data);
    return rc;
}

/* Binds the connection to this user and login, for good. */
static void bind_to(struct monitor *m, const struct login *l, const struct rl_sshd_grant *grant)
{
    rl_buf_clear(&m->certificate_blob);
    rl_buf_put_span(&m->certificate_blob, l->certificate_blob);
    RL_ASSERT(rl_sshcert_parse(rl_buf_span(&m->certificate_blob), &m->certificate, NULL) == RL_OK);
    m->grant = *grant;
    m->grant.permit_pty &= m->certificate.permit_pty;
    m->grant.port_forwarding &= m->certificate.permit_port_forwarding;
    m->grant.agent_forwarding &= m->certificate.permit_agent_forwarding;
    m->account = l->account;
    snprintf(m->login, sizeof m->login, "%s", l->name);
    m->is_authenticated = true;
    m->active_ms = rl_monitor_now_ms();
    rl_wire_begin(&m->out, RL_WIRE_YES);
    rl_buf_put_u8(&m->out.body, m->grant.permit_pty);
    rl_buf_put_string(&m->out.body, rl_span_of(m->grant.message));
}

/* `is_final`: the user is who they say, and the node does not let them in: no other key helps. */
static void put_refusal(struct monitor *m, const struct login *l, const char *why, bool is_final)
{
    char text[RL_SSHD_MESSAGE_BYTES_MAX];
    write_down(m, l->name, why);
    if (is_final)
        snprintf(text, sizeof text, "%s", why);
    else
        put_denied(text, sizeof text, m, why);
    rl_wire_begin(&m->out, RL_WIRE_NO);
    rl_buf_put_u8(&m->out.body, is_final);
    rl_buf_put_string(&m->out.body, rl_span_of(text));
}

static void decide(struct monitor *m, struct login *l)
{
    struct rl_sshd_request request = {&l->certificate, l->name, m->peer};
    struct rl_sshd_grant grant = {0};
    struct rl_error err = {RL_E_DENIED, "access denied"};
    if (m->config->authorize(m->config->ctx, &request, &grant, &err) == RL_OK)
        bind_to(m, l, &grant);
    else
        put_refusal(m, l, err.message, true);
}

static void verify(struct monitor *m, struct login *l, const struct proof *p)
{
    struct rl_error err;
    enum refusal refusal;
    /* An honest transport has checked the signature: one that does not hold is a lie. */
    if (rl_sshcert_parse(l->certificate_blob, &l->certificate, &err) == RL_OK &&
        check_possession(m, l, p, &err) != RL_OK) {
        rl_monitor_refuse(m, "%s", err.message);
        return;
    }
    if (check(m, l, &refusal, &err) == RL_OK)
        decide(m, l);
    else
        put_refusal(m, l, refusal == KNOWN ? err.message : "unknown certificate", false);
}

enum verdict rl_login_verify(struct monitor *m, struct rl_cursor *c)
{
    struct login *l = rl_alloc(sizeof *l);
    struct proof p;
    rl_wire_text(c, l->name, sizeof l->name);
    rl_wire_text(c, p.service, sizeof p.service);
    p.algorithm = rl_cursor_string(c);
    l->certificate_blob = rl_cursor_string(c);
    p.signature = rl_cursor_string(c);
    if (!rl_cursor_done(c) || strcmp(p.service, "ssh-connection") != 0)
        rl_monitor_refuse(m, "malformed proof of a login");
    else if (m->ssh_session_id_n == 0)
        rl_monitor_refuse(m, "proof of a login before the key exchange");
    else if (counts(m))
        verify(m, l, &p);
    free(l);
    return ANSWER;
}
