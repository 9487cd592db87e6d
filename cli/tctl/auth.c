/* auth: the cluster's authorities: shown to those who check certificates by themselves, replaced,
 * and used to sign an identity for a program. */
#include "bundle/bundle.h"
#include "clock/clock.h"
#include "enrol/enrol.h"
#include "identity/identity.h"
#include "sshcert/sshkey.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auth_settings {
    char *type, *format;
};

#define AT(field) offsetof(struct auth_settings, field)
static const struct rl_setting export_rows[] = {
    {.name = "type",
     .type = RL_SETTING_TEXT,
     .offset = AT(type),
     .help = "user or host",
     .required = true},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "openssh",
     .help = "openssh or pem"},
};

static rl_code print_openssh(const ProtobufCBinaryData *keys, size_t count, bool is_host,
                             const char *cluster, struct rl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char *line = rl_sshkey_line_format(RL_SPAN(keys[i].data, keys[i].len), cluster);
        if (!line)
            return rl_fail(err, RL_E_INTERNAL, "an authority's key can not be read");
        if (is_host)
            printf("@cert-authority *.%s %s\n", cluster, line);
        else
            printf("cert-authority %s\n", line);
        free(line);
    }
    return RL_OK;
}

static rl_code print_pem(const ProtobufCBinaryData *certificates, size_t count,
                         struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < count; i++) {
        struct rl_buf pem;
        X509 *certificate = NULL;
        rl_buf_init(&pem, 65536);
        rc =
            rl_x509_from_der(RL_SPAN(certificates[i].data, certificates[i].len), &certificate, err);
        if (rc == RL_OK && (rc = rl_x509_to_pem(certificate, &pem, err)) == RL_OK)
            fwrite(pem.p, 1, pem.n, stdout);
        X509_free(certificate);
        rl_buf_fini(&pem);
    }
    return rc;
}

static rl_code check(const void *settings, struct rl_error *err)
{
    const struct auth_settings *s = settings;
    if (strcmp(s->type, "host") != 0 && strcmp(s->type, "user") != 0)
        return rl_fail(err, RL_E_INVAL, "--type is user or host, not %s", s->type);
    if (strcmp(s->format, "openssh") != 0 && strcmp(s->format, "pem") != 0)
        return rl_fail(err, RL_E_INVAL, "--format is openssh or pem, not %s", s->format);
    return RL_OK;
}

static rl_code print(const Pb__TrustBundle *trust, const struct auth_settings *s,
                     struct rl_error *err)
{
    bool is_host = strcmp(s->type, "host") == 0;
    if (strcmp(s->format, "openssh") == 0)
        return is_host ? print_openssh(trust->host_ssh_cas, trust->n_host_ssh_cas, true,
                                       trust->cluster, err)
                       : print_openssh(trust->user_ssh_cas, trust->n_user_ssh_cas, false,
                                       trust->cluster, err);
    return is_host ? print_pem(trust->host_cas, trust->n_host_cas, err)
                   : print_pem(trust->user_cas, trust->n_user_cas, err);
}

static rl_code export_authorities(struct tctl_client *client, const void *settings,
                                  const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    ProtobufCMessage *reply = NULL;
    Pb__AuthoritiesRequest request = PB__AUTHORITIES_REQUEST__INIT;
    rl_code rc = rl_rpc_unary_wait(client->channel, &pb__session__descriptor, "Authorities",
                                   &request.base, TCTL_CALL_MS, &reply, err);
    if (rc == RL_OK) {
        rc = print((const Pb__TrustBundle *)reply, settings, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    return rc;
}

static const struct rl_settings_spec export_spec = {
    .program = "tctl auth export",
    .summary = "the public half of an authority",
    .usage = "--type=user|host [--format=openssh|pem]",
    .example = "tctl auth export --type=user --format=openssh",
    .rows = export_rows,
    .count = RL_COUNT(export_rows),
};

static const struct tctl_command export_command = {.spec = &export_spec,
                                                   .bytes = sizeof(struct auth_settings),
                                                   .check = check,
                                                   .work = export_authorities};

/* ---- sign ---- */

struct sign_settings {
    char *user, *out;
    uint64_t ttl_s;
};

static const struct rl_setting sign_rows[] = {
    {.name = "user",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct sign_settings, user),
     .help = "whose identity it is",
     .required = true},
    {.name = "out",
     .type = RL_SETTING_FILE,
     .offset = offsetof(struct sign_settings, out),
     .help = "the file, written anew, for REMOTELER_IDENTITY_FILE",
     .required = true},
    {.name = "ttl",
     .type = RL_SETTING_DURATION,
     .offset = offsetof(struct sign_settings, ttl_s),
     .fallback = "12h",
     .min = 60,
     .max = (int64_t)3660 * 86400,
     .help = "how long it is good, when the user's roles allow that"},
};

static rl_code sign_key(struct tctl_client *client, const struct sign_settings *s, EVP_PKEY *key,
                        ProtobufCMessage **reply, struct rl_error *err)
{
    struct rl_buf spki;
    rl_buf_init(&spki, 1024);
    rl_code rc = rl_key_to_spki(key, &spki, err);
    if (rc == RL_OK) {
        Pb__SignUserRequest request = PB__SIGN_USER_REQUEST__INIT;
        request.user = s->user;
        request.ttl_s = s->ttl_s;
        request.tls_public_key = (ProtobufCBinaryData){spki.n, spki.p};
        request.no_reissue = true;
        rc = tctl_call(client, "SignUser", &request.base, reply, err);
    }
    rl_buf_fini(&spki);
    return rc;
}

static rl_code sign(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct sign_settings *s = settings;
    EVP_PKEY *key = NULL;
    ProtobufCMessage *reply = NULL;
    rl_code rc = rl_key_generate_p256(&key, err);
    if (rc == RL_OK)
        rc = sign_key(client, s, key, &reply, err);
    if (rc == RL_OK) {
        const Pb__LoginResponse *signed_user = (const Pb__LoginResponse *)reply;
        char until[RL_CLOCK_TEXT_BYTES];
        rl_clock_format(signed_user->valid_until_ns, until);
        rc = rl_bundle_write(s->out, key, signed_user->tls_chain, signed_user->n_tls_chain,
                             signed_user->trust, err);
        if (rc == RL_OK)
            rl_output_say("%s is %s until %s; it signs no others.", s->out, s->user, until);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    EVP_PKEY_free(key);
    return rc;
}

static const struct rl_settings_spec sign_spec = {
    .program = "tctl auth sign",
    .summary = "an identity file for a program, by which no other can be signed",
    .usage = "--user=NAME --out=FILE [--ttl=12h]",
    .example = "tctl auth sign --user=backup --out=/etc/backup/identity --ttl=720h",
    .rows = sign_rows,
    .count = RL_COUNT(sign_rows),
};
static const struct tctl_command sign_command = {
    .spec = &sign_spec, .bytes = sizeof(struct sign_settings), .work = sign};

/* ---- rotate ---- */

struct rotate_settings {
    struct rl_text_list types;
    char *phase, *format;
    bool manual;
    uint64_t grace_s;
};

static const struct rl_setting rotate_rows[] = {
    {.name = "type",
     .type = RL_SETTING_LIST,
     .offset = offsetof(struct rotate_settings, types),
     .help = "user, host; both, unless one is named"},
    {.name = "phase",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct rotate_settings, phase),
     .help = "go to init, update_clients, update_servers, standby or rollback"},
    {.name = "manual",
     .type = RL_SETTING_SWITCH,
     .offset = offsetof(struct rotate_settings, manual),
     .help = "begin, and wait in each phase for --phase"},
    {.name = "grace-period",
     .type = RL_SETTING_DURATION,
     .offset = offsetof(struct rotate_settings, grace_s),
     .fallback = "720h",
     .min = 6,
     .max = (int64_t)366 * 86400,
     .help = "from the first phase until the old authority is gone"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct rotate_settings, format),
     .fallback = "text",
     .help = "text, json or yaml"},
};

json_t *tctl_rotations_json(Pb__Rotation *const *rotations, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        const Pb__Rotation *r = rotations[i];
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:s, s:o, s:o}", "type", rl_json_text(r->kind), "phase",
                             rl_json_text(r->phase), "mode", r->is_manual ? "manual" : "auto",
                             "started", rl_json_time_or_null(r->started_ns), "next",
                             rl_json_time_or_null(r->next_ns)));
    }
    return array;
}

static rl_code check_rotate(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct rotate_settings *)settings)->format, &format, err);
}

static rl_code rotate(struct tctl_client *client, const void *settings,
                      const struct rl_positionals *rest, struct rl_error *err)
{
    static const struct rl_column columns[] = {
        {"TYPE", "type"}, {"PHASE", "phase"}, {"MODE", "mode"}, {"NEXT", "next"}};
    (void)rest;
    const struct rotate_settings *s = settings;
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    Pb__RotateAuthoritiesRequest request = PB__ROTATE_AUTHORITIES_REQUEST__INIT;
    request.kinds = s->types.items;
    request.n_kinds = s->types.count;
    if (s->phase)
        request.phase = s->phase;
    request.is_manual = s->manual;
    request.grace_s = s->grace_s;
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "RotateAuthorities", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__RotateAuthoritiesResponse *now = (const Pb__RotateAuthoritiesResponse *)reply;
    json_t *array = tctl_rotations_json(now->rotations, now->n_rotations);
    rc = rl_output_table(stdout, format, array, columns, RL_COUNT(columns),
                         "No rotation is under way: every authority is in standby.", err);
    json_decref(array);
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static const struct rl_settings_spec rotate_spec = {
    .program = "tctl auth rotate",
    .summary = "replace the authorities of users and hosts, in phases",
    .usage = "[--type=user,host] [--phase=PHASE|--manual] [--grace-period=720h]",
    .example = "tctl auth rotate --type=user --grace-period=48h",
    .rows = rotate_rows,
    .count = RL_COUNT(rotate_rows),
};
static const struct tctl_command rotate_command = {.spec = &rotate_spec,
                                                   .bytes = sizeof(struct rotate_settings),
                                                   .check = check_rotate,
                                                   .work = rotate};

static const struct tctl_subcommand auth_commands[] = {
    {"export", &export_command, "the public half of an authority"},
    {"rotate", &rotate_command, "replace authorities, in phases"},
    {"sign", &sign_command, "an identity file for a program"},
};
const struct tctl_group tctl_auth = {"auth", auth_commands, RL_COUNT(auth_commands)};
