#include "certificates.h"
#include "client.h"
#include "clock/clock.h"
#include "enrol/enrol.h"
#include "file/file.h"
#include "inventory.h"
#include "leaves.h"
#include "prompt.h"
#include "sshconfig.h"
#include "tsh.h"
#include "webping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct login_settings {
    char *proxy, *user, *auth, *password_file, *otp, *ca_pin, *format;
    int64_t ttl_min;
    bool insecure, no_ssh_config;
};

#define AT(field) offsetof(struct login_settings, field)
static const struct rl_setting rows[] = {
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .environment = "REMOTELER_PROXY",
     .help = "the cluster's proxy, HOST:PORT; the last one unless said"},
    {.name = "user",
     .type = RL_SETTING_TEXT,
     .offset = AT(user),
     .environment = "REMOTELER_USER",
     .help = "who you are there; the last one, or your own user name, unless said"},
    {.name = "auth",
     .type = RL_SETTING_TEXT,
     .offset = AT(auth),
     .fallback = "local",
     .help = "how to log in: local"},
    {.name = "password-file",
     .type = RL_SETTING_FILE,
     .offset = AT(password_file),
     .help = "a file with the password, or - for stdin"},
    {.name = "otp", .type = RL_SETTING_TEXT, .offset = AT(otp), .help = "the one-time code"},
    {.name = "ttl",
     .type = RL_SETTING_NUMBER,
     .offset = AT(ttl_min),
     .fallback = "0",
     .min = 0,
     .max = 43200,
     .unit = "min",
     .help = "how long; as long as your roles allow unless said"},
    {.name = "ca-pin",
     .type = RL_SETTING_TEXT,
     .offset = AT(ca_pin),
     .environment = "REMOTELER_CA_PIN",
     .help = "sha256:... of the cluster's authority"},
    {.name = "insecure",
     .type = RL_SETTING_SWITCH,
     .offset = AT(insecure),
     .fallback = "no",
     .help = "believe whoever answers"},
    {.name = "no-ssh-config",
     .type = RL_SETTING_SWITCH,
     .offset = AT(no_ssh_config),
     .fallback = "no",
     .help = "leave ~/.ssh/config alone; use ssh -F"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .help = "json: print the status"},
};

const struct rl_settings_spec tsh_login_spec = {
    .program = "tsh login",
    .summary = "log in: short-lived certificates, and plain ssh that works",
    .usage = "[--proxy=HOST:PORT] [--user=NAME] [flags] [CLUSTER]",
    .example = "tsh login --proxy=root.example.com:443 --user=alice",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 1,
};

/* ---- whom to believe ---- */

static rl_code trust_on_file(const struct tsh_profile *profile, struct rl_trust **out,
                             struct rl_error *err)
{
    Pb__TrustBundle *bundle = NULL;
    rl_code rc = tsh_profile_trust(profile, &bundle, err);
    if (rc != RL_OK)
        return rc;
    rc = rl_trust_from_bundle(bundle, out, err);
    pb__trust_bundle__free_unpacked(bundle, NULL);
    return rc;
}

/* In the contract's order: the pin, the authority of an earlier login, a web certificate that this
 * system trusts. With none, the pin is printed to be compared by a person. */
static rl_code choose_trust(const struct login_settings *s, const struct tsh_profile *profile,
                            struct tsh_bootstrap *how, char **pin, struct rl_error *err)
{
    *how = (struct tsh_bootstrap){.proxy = s->proxy};
    if (s->insecure) {
        rl_output_say("tsh: --insecure: whoever answers at %s is believed", s->proxy);
        how->insecure = true;
        return RL_OK;
    }
    if (s->ca_pin) {
        how->pin = s->ca_pin;
        return RL_OK;
    }
    rl_code rc = trust_on_file(profile, &how->trust, err);
    if (rc == RL_OK) {
        how->cluster = rl_trust_cluster(how->trust);
        return RL_OK;
    }
    if (rc != RL_E_NOT_FOUND)
        return rc;
    rc = tsh_webping_pin(s->proxy, pin, err);
    if (rc == RL_OK) {
        how->pin = *pin;
        return RL_OK;
    }
    char *seen = NULL;
    if (tsh_webping_unverified_pin(s->proxy, &seen, NULL) != RL_OK)
        return rc;
    rl_fail(err, RL_E_UNAUTHENTICATED,
            "%s is not known yet, and this system does not trust its certificate. Compare this pin "
            "with your administrator's (tctl status), then say --ca-pin=%s",
            s->proxy, seen);
    free(seen);
    return RL_E_UNAUTHENTICATED;
}

/* ---- what to say ---- */

static rl_code choose_user(struct login_settings *s, const struct tsh_profile *profile,
                           struct rl_error *err)
{
    if (s->user)
        return RL_OK;
    const char *last = tsh_profile_text(profile, "user");
    const char *login = last[0] ? last : getenv("LOGNAME");
    if (!login || !login[0])
        return rl_fail(err, RL_E_INVAL, "who are you? say --user=NAME");
    s->user = rl_strdup(login);
    return RL_OK;
}

static rl_code ask_credentials(const struct login_settings *s, Pb__LoginRequest *request,
                               struct rl_error *err)
{
    struct rl_secret *password = NULL;
    char *question = rl_sprintf("Password of %s", s->user);
    rl_code rc = s->password_file
                     ? rl_file_read_secret(s->password_file, TSH_LINE_BYTES_MAX, &password, err)
                     : tsh_prompt_secret(question, "--password-file=FILE", &password, err);
    free(question);
    if (rc != RL_OK)
        return rc;
    request->password = rl_secret_to_text(password);
    rl_secret_free(&password);
    if (s->otp) {
        request->otp = rl_strdup(s->otp);
        return RL_OK;
    }
    return tsh_prompt_line("One-time code", "--otp=CODE", &request->otp, err);
}

static rl_code exchange(const struct login_settings *s, const struct tsh_keys *keys,
                        const struct tsh_bootstrap *how, Pb__LoginResponse **out,
                        struct rl_error *err)
{
    struct tsh_client client = {0};
    ProtobufCMessage *reply = NULL;
    char none_password[] = "", none_otp[] = "";
    Pb__LoginRequest request = PB__LOGIN_REQUEST__INIT;
    request.user = s->user;
    request.password = none_password;
    request.otp = none_otp;
    request.ttl_s = (uint64_t)s->ttl_min * 60;
    request.tls_public_key = (ProtobufCBinaryData){keys->tls_public.n, keys->tls_public.p};
    request.ssh_public_key = (ProtobufCBinaryData){keys->ssh_public.n, keys->ssh_public.p};
    rl_code rc = ask_credentials(s, &request, err);
    if (rc == RL_OK)
        rc = tsh_client_open_bootstrap(how, &client, err);
    if (rc == RL_OK)
        rc = tsh_client_call(&client, &pb__auth__descriptor, "Login", &request.base, &reply, err);
    if (rc == RL_OK)
        *out = (Pb__LoginResponse *)reply;
    tsh_client_close(&client);
    if (request.password != none_password)
        rl_wipe_text(&request.password);
    if (request.otp != none_otp)
        rl_wipe_text(&request.otp);
    return rc;
}

static rl_code print_status(enum rl_format format, const struct tsh_profile *profile,
                            struct rl_error *err)
{
    if (format != RL_FORMAT_TEXT)
        return rl_output_value(stdout, format, profile->status, err);
    rl_output_say("Logged in to %s as %s until %s.", tsh_profile_text(profile, "cluster"),
                  tsh_profile_text(profile, "user"), tsh_profile_text(profile, "valid_until"));
    return RL_OK;
}

/* [CLUSTER] can only be looked at when auth has said which there are. */
static rl_code select_cluster(const struct rl_positionals *rest, const struct tsh_profile *profile,
                              struct rl_error *err)
{
    const char *own = tsh_profile_text(profile, "cluster");
    const char *wanted = rest->count ? rest->items[0] : own;
    Pb__ListClustersResponse *leaves = tsh_leaves_read(profile);
    bool is_there = strcmp(wanted, own) == 0;
    for (size_t i = 0; i < leaves->n_clusters; i++)
        is_there = is_there || strcmp(wanted, leaves->clusters[i]->name) == 0;
    pb__list_clusters_response__free_unpacked(leaves, NULL);
    if (is_there)
        return tsh_cluster_select(profile, wanted, err);
    return rl_fail(err, RL_E_NOT_FOUND, "no such cluster \"%s\"; you are logged in to %s", wanted,
                   own);
}

static rl_code login(struct login_settings *s, struct tsh_profile *profile, struct rl_error *err)
{
    struct tsh_bootstrap how = {0};
    struct tsh_keys keys = {0};
    Pb__LoginResponse *response = NULL;
    char *pin = NULL;
    rl_code rc = choose_user(s, profile, err);
    if (rc == RL_OK && (rc = choose_trust(s, profile, &how, &pin, err)) == RL_OK &&
        (rc = tsh_keys_make(&keys, err)) == RL_OK &&
        (rc = exchange(s, &keys, &how, &response, err)) == RL_OK)
        rc = tsh_keys_save(&keys, response, s->proxy, profile, err);
    if (rc == RL_OK) {
        rc = tsh_inventory_refresh(profile, NULL, err);
        if (rc == RL_OK && !s->no_ssh_config)
            rc = tsh_sshconfig_include(profile->home, true, err);
        tsh_agent_add(profile, response->ssh_valid_until_ns);
    }
    if (response)
        pb__login_response__free_unpacked(response, NULL);
    tsh_keys_fini(&keys);
    rl_trust_unref(&how.trust);
    free(pin);
    return rc;
}

/* The proxy of the last profile, when none was named. */
static rl_code choose_proxy(struct login_settings *s, struct rl_error *err)
{
    if (s->proxy)
        return RL_OK;
    struct tsh_profile last;
    if (tsh_profile_open(NULL, &last, NULL) == RL_OK) {
        s->proxy = rl_strdup(tsh_profile_text(&last, "proxy"));
        tsh_profile_fini(&last);
    }
    if (!s->proxy || !s->proxy[0])
        return rl_fail(err, RL_E_INVAL, "which proxy? say --proxy=HOST:PORT");
    return RL_OK;
}

int tsh_login(int argc, char **argv)
{
    struct login_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    struct tsh_profile profile = {0};
    enum rl_format format = RL_FORMAT_TEXT;
    rl_code rc = rl_settings_read(&tsh_login_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && strcmp(s.auth, "local") != 0)
        rc = rl_fail(&err, RL_E_INVAL, "--auth=%s: this version logs in with a password only",
                     s.auth);
    if (rc == RL_OK && s.format) /* before a one-time code is spent */
        rc = rl_format_parse(s.format, &format, &err);
    if (rc != RL_OK) {
        rl_settings_free(&tsh_login_spec, &s);
        return tsh_usage(rc, &err);
    }
    if ((rc = choose_proxy(&s, &err)) == RL_OK &&
        (rc = tsh_profile_create(s.proxy, &profile, &err)) == RL_OK &&
        (rc = login(&s, &profile, &err)) == RL_OK &&
        (rc = select_cluster(&rest, &profile, &err)) == RL_OK)
        rc = print_status(format, &profile, &err);
    int code = rc == RL_OK ? RL_EXIT_DONE : tsh_fail(&err);
    if (rc == RL_E_UNAUTHENTICATED) /* nobody was refused: whom to believe is not known */
        code = RL_EXIT_FAILED;
    tsh_profile_fini(&profile);
    rl_settings_free(&tsh_login_spec, &s);
    return code;
}
