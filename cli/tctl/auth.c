/* auth: the cluster's authorities, for those who check certificates by themselves. */
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
static const struct tctl_subcommand auth_commands[] = {
    {"export", &export_command, "the public half of an authority"},
};
const struct tctl_group tctl_auth = {"auth", auth_commands, RL_COUNT(auth_commands)};
