/* signup: redeems an invitation: a password, and a one-time code secret that is proved to have
 * arrived.
 */
#include "bytes/encoding.h"
#include "client.h"
#include "file/file.h"
#include "invitation.h"
#include "prompt.h"
#include "totp.h"
#include "tsh.h"
#include "webping.h"

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
        rl_wipe_text(&line);
        if (rc == RL_OK)
            rc = tsh_totp_now(secret, otp, err);
    } else {
        rl_output_say("Add this to your authenticator: %s", invitation->otpauth_url);
        rl_output_say("(or type it: %s)", text);
        rc = tsh_prompt_line("One-time code", "--totp-secret-out=FILE", otp, err);
    }
    rl_wipe_text(&text);
    return rc;
}

static rl_code redeem(const struct signup_settings *s, struct tsh_client *client,
                      const struct tsh_invitation *url, struct rl_error *err)
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
    rl_output_say("Welcome, %s.", invitation->user);
    rc = s->password_file
             ? rl_file_read_secret(s->password_file, TSH_LINE_BYTES_MAX, &password, err)
             : tsh_prompt_secret("New password", "--password-file=FILE", &password, err);
    if (rc == RL_OK && (rc = prove(s, invitation, &otp, err)) == RL_OK) {
        password_text = rl_secret_to_text(password);
        signup.token = url->token;
        signup.password = password_text;
        signup.otp = otp;
        reply = NULL;
        rc = tsh_client_call(client, &pb__auth__descriptor, "Signup", &signup.base, &reply, err);
    }
    if (rc == RL_OK) {
        rl_output_say("Done. Now: tsh login --proxy=%s --user=%s", url->proxy, invitation->user);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    rl_secret_free(&password);
    rl_wipe_text(&password_text);
    rl_wipe_text(&otp);
    pb__invitation_response__free_unpacked(invitation, NULL);
    return rc;
}

static rl_code run(const struct signup_settings *s, const char *text, struct rl_error *err)
{
    struct tsh_invitation url = {0};
    struct tsh_client client = {0};
    rl_code rc = tsh_invitation_parse(text, &url, err);
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
    tsh_invitation_fini(&url);
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
