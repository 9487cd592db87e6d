/* auth: who may come in is the monitor's to say; here it is only carried. */
#include "internal.h"

#include "bytes/encoding.h"

#include <stdio.h>
#include <string.h>

void rl_auth_show(struct transport *t, const char *text)
{
    if (!*text)
        return;
    char lines[RL_SSHD_MESSAGE_BYTES_MAX + 2];
    snprintf(lines, sizeof lines, "%s\r\n", text);
    ssh_string banner = ssh_string_from_char(lines);
    if (banner)
        ssh_send_issue_banner(t->session, banner);
    ssh_string_free(banner);
}

/* The key's blob: for a certificate the whole of it. */
static bool put_blob(ssh_key key, struct rl_buf *out)
{
    char *base64 = NULL;
    if (ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
        return false;
    struct rl_buf blob;
    rl_buf_init(&blob, RL_SSHCERT_BYTES_MAX);
    bool ok = rl_base64_decode(base64, &blob, NULL) == RL_OK &&
              rl_buf_put_string(out, rl_buf_span(&blob));
    rl_buf_fini(&blob);
    ssh_string_free_char(base64);
    return ok;
}

/* "Would this key do?" A refusal may come with a reason for the user. */
static int query(struct transport *t, const char *user, ssh_key key)
{
    rl_wire_begin(&t->message, RL_WIRE_QUERY);
    rl_buf_put_string(&t->message.body, rl_span_of(user));
    if (!put_blob(key, &t->message.body))
        return SSH_AUTH_DENIED;
    if (rl_monitor_ask(t) == RL_WIRE_YES)
        return SSH_AUTH_SUCCESS;
    char text[RL_SSHD_MESSAGE_BYTES_MAX];
    struct rl_cursor c = rl_wire_fields(&t->message);
    rl_wire_text(&c, text, sizeof text);
    rl_auth_show(t, t->is_ending ? t->end_text : text);
    return SSH_AUTH_DENIED;
}

int rl_auth_public_key(ssh_session session, const char *user, ssh_key key, char state, void *ctx)
{
    (void)session;
    struct transport *t = ctx;
    if (state == SSH_PUBLICKEY_STATE_VALID)
        return rl_shim_is_authenticated() ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
    if (state != SSH_PUBLICKEY_STATE_NONE)
        return SSH_AUTH_DENIED;
    return query(t, user, key);
}
