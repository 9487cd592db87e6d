/* signup: redeems an invitation: a password, and a one-time code secret that is proved to have
 * arrived. INVITE_URL is https://HOST:PORT/invite/TOKEN#PIN: what follows # never leaves this
 * machine and says whom to believe.
 */
#include "bytes/encoding.h"
#include "client.h"
#include "file/file.h"
#include "names/names.h"
#include "prompt.h"
#include "totp.h"
#include "tsh.h"
#include "webping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct signup_settings {
    char *password_file, *totp_secret_out, *ca_pin;
};

#define AT(field) offsetof(struct signup_settings, field)
static const struct rl_setting rows[] = {
    {.name = "password-file",
     .type = RL_SETTING_FILE,
     .offset = AT(password_file),
     .help = "a file with the password that you want, or - for stdin"},
    {.name = "totp-secret-out",
     .type = RL_SETTING_FILE,
     .offset = AT(totp_secret_out),
     .help = "write the code secret there (base32) instead of showing it and asking for a code"},
    {.name = "ca-pin",
     .type = RL_SETTING_TEXT,
     .offset = AT(ca_pin),
     .environment = "REMOTELER_CA_PIN",
     .help = "sha256:... when the URL does not carry it"},
};

const struct rl_settings_spec tsh_signup_spec = {
    .program = "tsh signup",
    .summary = "redeem an invitation: choose a password, set up one-time codes",
    .usage = "INVITE_URL [flags]",
    .example = "tsh signup https://root.example.com:443/invite/...",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 1,
};

struct invitation {
    char *proxy, *token, *pin; /* pin may be NULL */
};

static void invitation_fini(struct invitation *i)
{
    free(i->proxy);
    tsh_wipe_text(&i->token);
    free(i->pin);
}

static rl_code split_url(const char *url, struct invitation *out, struct rl_error *err)
{
    static const char scheme[] = "https://", path[] = "/invite/";
    const char *host = url + sizeof scheme - 1;
    const char *at = strncmp(url, scheme, sizeof scheme - 1) == 0 ? strstr(host, path) : NULL;
    if (!at)
        return rl_fail(err, RL_E_INVAL,
                       "\"%.80s\" is not an invitation; it looks like "
                       "https://HOST:PORT/invite/TOKEN",
                       url);
    const char *token = at + sizeof path - 1;
    const char *hash = strchr(token, '#');
    uint16_t port = 0;
    char *name = NULL;
    out->proxy = rl_sprintf("%.*s", (int)(at - host), host);
    out->token = hash ? rl_sprintf("%.*s", (int)(hash - token), token) : rl_strdup(token);
    out->pin = hash ? rl_strdup(hash + 1) : NULL;
    if (rl_address_split(out->proxy, &name, &port, NULL) != RL_OK) {
        char *with_port = rl_sprintf("%s:443", out->proxy);
        free(out->proxy);
        out->proxy = with_port;
    }
    free(name);
    return RL_OK;
}

/* Shows the secret (or writes it) and gives the code that proves it. */
static rl_code prove(const struct signup_settings *s, const Pb__InvitationResponse *invitation,
                     char **otp, struct rl_error *err)
{
    struct rl_span secret = RL_SPAN(invitation->totp_secret.data, invitation->totp_secret.len);
    char *text = rl_base32_encode(secret);
    rl_code rc;
    if (s->totp_secret_out) {
        char *line = rl_sprintf("%s\n", text);
        rc = rl_file_write(s->totp_secret_out, rl_span_of(line), err);
        tsh_wipe_text(&line);
        if (rc == RL_OK)
            rc = tsh_totp_now(secret, otp, err);
    } else {
        fprintf(stderr, "Add this to your authenticator: %s\n(or type it: %s)\n",
                invitation->otpauth_url, text);
        rc = tsh_prompt_line("One-time code", "--totp-secret-out=FILE", otp, err);
    }
    tsh_wipe_text(&text);
    return rc;
}

static rl_code redeem(const struct signup_settings *s, struct tsh_client *client,
                      const struct invitation *url, struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__InvitationResponse *invitation = NULL;
    struct rl_secret *password = NULL;
    Pb__InvitationRequest look = PB__INVITATION_REQUEST__INIT;
    Pb__SignupRequest signup = PB__SIGNUP_REQUEST__INIT;
    char *password_text = NULL, *otp = NULL;
    look.token = url->token;
    rl_code rc =
        tsh_client_call(client, &pb__auth__descriptor, "Invitation", &look.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    invitation = (Pb__InvitationResponse *)reply;
    fprintf(stderr, "Welcome, %s.\n", invitation->user);
    rc = s->password_file
             ? tsh_secret_from_file(s->password_file, &password, err)
             : tsh_prompt_secret("New password", "--password-file=FILE", &password, err);
    if (rc == RL_OK && (rc = prove(s, invitation, &otp, err)) == RL_OK) {
        password_text = tsh_secret_text(password);
        signup.token = url->token;
        signup.password = password_text;
        signup.otp = otp;
        reply = NULL;
        rc = tsh_client_call(client, &pb__auth__descriptor, "Signup", &signup.base, &reply, err);
    }
    if (rc == RL_OK) {
        fprintf(stderr, "Done. Now: tsh login --proxy=%s --user=%s\n", url->proxy,
                invitation->user);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    rl_secret_free(&password);
    tsh_wipe_text(&password_text);
    tsh_wipe_text(&otp);
    pb__invitation_response__free_unpacked(invitation, NULL);
    return rc;
}

static rl_code run(const struct signup_settings *s, const char *text, struct rl_error *err)
{
    struct invitation url = {0};
    struct tsh_client client = {0};
    rl_code rc = split_url(text, &url, err);
    if (rc == RL_OK && s->ca_pin) {
        free(url.pin);
        url.pin = rl_strdup(s->ca_pin);
    }
    if (rc == RL_OK && !url.pin)
        rc = tsh_webping_pin(url.proxy, &url.pin, err);
    if (rc == RL_OK) {
        const struct tsh_bootstrap how = {.proxy = url.proxy, .pin = url.pin};
        rc = tsh_client_open_bootstrap(&how, &client, err);
    }
    if (rc == RL_OK)
        rc = redeem(s, &client, &url, err);
    tsh_client_close(&client);
    invitation_fini(&url);
    return rc;
}

int tsh_signup(int argc, char **argv)
{
    struct signup_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&tsh_signup_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && rest.count != 1)
        rc = rl_fail(&err, RL_E_INVAL, "which invitation? tsh signup INVITE_URL");
    int code = rc == RL_OK ? RL_EXIT_DONE : tsh_usage(rc, &err);
    if (rc == RL_OK && run(&s, rest.items[0], &err) != RL_OK)
        code = tsh_fail(&err);
    rl_settings_free(&tsh_signup_spec, &s);
    return code;
}
