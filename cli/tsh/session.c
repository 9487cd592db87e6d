/* session: logout, status, clusters, passwd: about the login that there is. */
#include "certificates.h"
#include "client.h"
#include "clusters.h"
#include "file/file.h"
#include "leaves.h"
#include "output/value.h"
#include "prompt.h"
#include "sshconfig.h"
#include "tsh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session_settings {
    char *proxy, *format, *password_file, *new_password_file, *otp;
};

#define AT(field) offsetof(struct session_settings, field)
#define ROW_PROXY                                                                                  \
    {                                                                                              \
        .name = "proxy", .type = RL_SETTING_ADDRESS, .offset = AT(proxy),                          \
        .help = "the profile of this proxy; the last one unless said"                              \
    }
#define ROW_FORMAT                                                                                 \
    {                                                                                              \
        .name = "format", .type = RL_SETTING_TEXT, .offset = AT(format), .fallback = "text",       \
        .help = "text, json or yaml"                                                               \
    }

static const struct rl_setting logout_rows[] = {ROW_PROXY};
static const struct rl_setting show_rows[] = {ROW_PROXY, ROW_FORMAT};
static const struct rl_setting passwd_rows[] = {
    ROW_PROXY,
    {.name = "password-file",
     .type = RL_SETTING_FILE,
     .offset = AT(password_file),
     .help = "a file with the password that you have"},
    {.name = "new-password-file",
     .type = RL_SETTING_FILE,
     .offset = AT(new_password_file),
     .help = "a file with the one that you want"},
    {.name = "otp", .type = RL_SETTING_TEXT, .offset = AT(otp), .help = "a one-time code"},
};

const struct rl_settings_spec tsh_logout_spec = {
    .program = "tsh logout",
    .summary = "forget keys and certificates, and leave ~/.ssh/config as it was",
    .usage = "[--proxy=HOST:PORT]",
    .example = "tsh logout",
    .rows = logout_rows,
    .count = RL_COUNT(logout_rows),
};
const struct rl_settings_spec tsh_status_spec = {
    .program = "tsh status",
    .summary = "who you are, where, and until when",
    .usage = "[--format=text|json|yaml]",
    .example = "tsh status --format=json",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
};
const struct rl_settings_spec tsh_clusters_spec = {
    .program = "tsh clusters",
    .summary = "the clusters that you may reach",
    .usage = "[--format=text|json|yaml]",
    .example = "tsh clusters",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
};
const struct rl_settings_spec tsh_passwd_spec = {
    .program = "tsh passwd",
    .summary = "change your password",
    .usage = "[flags]",
    .example = "tsh passwd",
    .rows = passwd_rows,
    .count = RL_COUNT(passwd_rows),
};

/* ---- logout ---- */

static bool is_anyone_left(const char *home)
{
    char **names = NULL;
    bool left = false;
    if (tsh_profile_names(home, &names, NULL) != RL_OK)
        return false;
    for (size_t i = 0; names[i]; i++) {
        struct tsh_profile other = {.home = rl_strdup(home),
                                    .name = rl_strdup(names[i]),
                                    .dir = rl_sprintf("%s/profiles/%s", home, names[i])};
        left = left || tsh_profile_load(&other, NULL) == RL_OK;
        tsh_profile_fini(&other);
    }
    tsh_profile_names_free(&names);
    return left;
}

/* Auth hears of it when it can be reached; forgetting does not depend on it. */
static void tell_auth(const struct tsh_profile *profile)
{
    struct tsh_client client = {0};
    ProtobufCMessage *reply = NULL;
    Pb__LogoutRequest request = PB__LOGOUT_REQUEST__INIT;
    if (tsh_client_open(profile, NULL, "auth", &client, NULL) == RL_OK &&
        tsh_client_call(&client, &pb__session__descriptor, "Logout", &request.base, &reply, NULL) ==
            RL_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    tsh_client_close(&client);
}

static rl_code logout(struct tsh_profile *profile, struct rl_error *err)
{
    tell_auth(profile);
    tsh_agent_remove(profile);
    rl_code rc = tsh_profile_forget(profile, err);
    if (rc == RL_OK)
        rc = tsh_sshconfig_write(profile->home, err);
    if (rc == RL_OK && !is_anyone_left(profile->home))
        rc = tsh_sshconfig_include(profile->home, false, err);
    return rc;
}

/* ---- status ---- */

static const struct rl_column status_columns[] = {
    {"User", "user"},
    {"Proxy", "proxy"},
    {"Cluster", "cluster"},
    {"Roles", "roles"},
    {"Logins", "logins"},
    {"Valid until", "valid_until"},
    {"SSH valid until", "ssh_valid_until"},
    {"CA pin", "ca_pin"},
    {"MFA", "mfa"},
};

static rl_code status(struct tsh_profile *profile, enum rl_format format, struct rl_error *err)
{
    rl_code rc = rl_output_object(stdout, format, profile->status, status_columns,
                                  RL_COUNT(status_columns), err);
    return rc == RL_OK ? tsh_profile_check_valid(profile, err) : rc;
}

/* ---- clusters ---- */

static const struct rl_column cluster_columns[] = {
    {"CLUSTER", "name"},        {"TYPE", "type"},         {"STATUS", "status"},
    {"LAST SEEN", "last_seen"}, {"SELECTED", "selected"},
};

static json_t *clusters_json(const Pb__ListClustersResponse *list, const char *selected)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->n_clusters; i++) {
        const Pb__ClusterInfo *c = list->clusters[i];
        json_array_append_new(array, json_pack("{s:o, s:o, s:o, s:o, s:b}", "name",
                                               rl_json_text(c->name), "type", rl_json_text(c->type),
                                               "status", rl_json_text(c->status), "last_seen",
                                               rl_json_time_or_null(c->last_seen_ns), "selected",
                                               strcmp(c->name, selected) == 0));
    }
    return array;
}

static rl_code clusters(struct tsh_profile *profile, enum rl_format format, struct rl_error *err)
{
    Pb__ListClustersResponse *list = NULL;
    char *selected = NULL;
    rl_code rc = tsh_clusters_refresh(profile, NULL, &list, err);
    if (rc != RL_OK)
        return rc;
    rc = tsh_cluster_choose(profile, NULL, &selected, err);
    if (rc == RL_OK) {
        json_t *array = clusters_json(list, selected);
        rc = rl_output_table(stdout, format, array, cluster_columns, RL_COUNT(cluster_columns),
                             "No clusters.", err);
        json_decref(array);
    }
    free(selected);
    pb__list_clusters_response__free_unpacked(list, NULL);
    return rc;
}

/* ---- passwd ---- */

static rl_code read_password(const char *file, const char *question, const char *flag, char **out,
                             struct rl_error *err)
{
    struct rl_secret *secret = NULL;
    rl_code rc = file ? rl_file_read_secret(file, TSH_LINE_BYTES_MAX, &secret, err)
                      : tsh_prompt_secret(question, flag, &secret, err);
    if (rc == RL_OK)
        *out = rl_secret_to_text(secret);
    rl_secret_free(&secret);
    return rc;
}

static rl_code passwd(const struct session_settings *s, struct tsh_profile *profile,
                      struct rl_error *err)
{
    struct tsh_client client = {0};
    ProtobufCMessage *reply = NULL;
    char *old = NULL, *fresh = NULL, *otp = s->otp ? rl_strdup(s->otp) : NULL;
    Pb__ChangePasswordRequest request = PB__CHANGE_PASSWORD_REQUEST__INIT;
    rl_code rc = tsh_profile_check_valid(profile, err);
    if (rc == RL_OK &&
        (rc = read_password(s->password_file, "Password", "--password-file=FILE", &old, err)) ==
            RL_OK &&
        (rc = read_password(s->new_password_file, "New password", "--new-password-file=FILE",
                            &fresh, err)) == RL_OK &&
        (otp || (rc = tsh_prompt_line("One-time code", "--otp=CODE", &otp, err)) == RL_OK) &&
        (rc = tsh_client_open(profile, NULL, "auth", &client, err)) == RL_OK) {
        request.old_password = old;
        request.new_password = fresh;
        request.otp = otp;
        rc = tsh_client_call(&client, &pb__session__descriptor, "ChangePassword", &request.base,
                             &reply, err);
    }
    if (rc == RL_OK) {
        protobuf_c_message_free_unpacked(reply, NULL);
        fprintf(stderr, "Password changed.\n");
    }
    tsh_client_close(&client);
    rl_wipe_text(&old);
    rl_wipe_text(&fresh);
    rl_wipe_text(&otp);
    return rc;
}

/* ---- the four commands ---- */

static int with_profile(const struct rl_settings_spec *spec, int argc, char **argv,
                        rl_code (*work)(const struct session_settings *s,
                                        struct tsh_profile *profile, enum rl_format format,
                                        struct rl_error *err))
{
    struct session_settings s = {0};
    struct rl_positionals rest = {0};
    struct tsh_profile profile = {0};
    struct rl_error err;
    enum rl_format format = RL_FORMAT_TEXT;
    rl_code rc = rl_settings_read(spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK && s.format)
        rc = rl_format_parse(s.format, &format, &err);
    int code = rc == RL_OK ? RL_EXIT_DONE : tsh_usage(rc, &err);
    if (rc == RL_OK) {
        rc = tsh_profile_open(s.proxy, &profile, &err);
        if (rc == RL_OK)
            rc = work(&s, &profile, format, &err);
        if (rc != RL_OK)
            code = tsh_fail(&err);
        tsh_profile_fini(&profile);
    }
    rl_settings_free(spec, &s);
    return code;
}

static rl_code do_logout(const struct session_settings *s, struct tsh_profile *profile,
                         enum rl_format format, struct rl_error *err)
{
    (void)s;
    (void)format;
    return logout(profile, err);
}

static rl_code do_status(const struct session_settings *s, struct tsh_profile *profile,
                         enum rl_format format, struct rl_error *err)
{
    (void)s;
    return status(profile, format, err);
}

static rl_code do_clusters(const struct session_settings *s, struct tsh_profile *profile,
                           enum rl_format format, struct rl_error *err)
{
    (void)s;
    return clusters(profile, format, err);
}

static rl_code do_passwd(const struct session_settings *s, struct tsh_profile *profile,
                         enum rl_format format, struct rl_error *err)
{
    (void)format;
    return passwd(s, profile, err);
}

int tsh_logout(int argc, char **argv)
{
    return with_profile(&tsh_logout_spec, argc, argv, do_logout);
}

int tsh_status(int argc, char **argv)
{
    return with_profile(&tsh_status_spec, argc, argv, do_status);
}

int tsh_clusters(int argc, char **argv)
{
    return with_profile(&tsh_clusters_spec, argc, argv, do_clusters);
}

int tsh_passwd(int argc, char **argv)
{
    return with_profile(&tsh_passwd_spec, argc, argv, do_passwd);
}
