#include "bytes/secret.h"
#include "clock/clock.h"
#include "resource/resource.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct token_settings {
    struct rl_text_list types, names, labels;
    uint64_t ttl_s;
    int64_t uses;
    char *format;
};

#define AT(field) offsetof(struct token_settings, field)
#define ROW_FORMAT                                                                                 \
    {                                                                                              \
        .name = "format", .type = RL_SETTING_TEXT, .offset = AT(format), .fallback = "text",       \
        .help = "text, json or yaml"                                                               \
    }

static const struct rl_setting add_rows[] = {
    {.name = "type",
     .type = RL_SETTING_LIST,
     .offset = AT(types),
     .help = "what may join with it: node, app, kube, proxy, broker, audit"},
    {.name = "ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(ttl_s),
     .fallback = "1h",
     .min = 60,
     .max = 31536000,
     .help = "until when"},
    {.name = "uses",
     .type = RL_SETTING_NUMBER,
     .offset = AT(uses),
     .fallback = "1",
     .min = 1,
     .max = 1000000,
     .help = "how often"},
    {.name = "names",
     .type = RL_SETTING_LIST,
     .offset = AT(names),
     .help = "patterns of the names that may be claimed with it"},
    {.name = "labels",
     .type = RL_SETTING_LIST,
     .offset = AT(labels),
     .help = "k=v,... that win over the agent's own"},
    ROW_FORMAT,
};
static const struct rl_setting show_rows[] = {ROW_FORMAT};

static rl_code parse_labels(const struct rl_text_list *list, Pb__Label ***labels, size_t *count,
                            struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, 65536);
    for (size_t i = 0; i < list->count; i++)
        rl_buf_printf(&text, "%s%s", i ? "," : "", list->items[i]);
    rl_code rc = text.n ? rl_labels_parse(rl_buf_text(&text), labels, count, err) : RL_OK;
    rl_buf_fini(&text);
    return rc;
}

static bool is_for_agents(const Pb__TokenSpec *spec)
{
    for (size_t i = 0; i < spec->n_types; i++)
        if (strcmp(spec->types[i], "node") == 0 || strcmp(spec->types[i], "app") == 0 ||
            strcmp(spec->types[i], "kube") == 0)
            return true;
    return false;
}

/* The secret goes in by stdin: on a command line it would show in ps. Heap text. */
static char *command_for(const Pb__AddTokenResponse *token)
{
    if (is_for_agents(token->token->spec))
        return rl_sprintf(
            "printf %%s %s | remoteler start --proxy=%s --ca-pin=%s --token=-", token->secret,
            token->public_address[0] ? token->public_address : "HOST:PORT", token->ca_pin);
    return rl_sprintf("remoteler-%s run --join-token-file=FILE --ca-pin=%s",
                      token->token->spec->types[0], token->ca_pin);
}

static json_t *token_json(const Pb__Token *token)
{
    const Pb__TokenSpec *spec = token->spec;
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:i}", "id", token->metadata->name, "types",
        tctl_texts(spec->types, spec->n_types), "names", tctl_texts(spec->names, spec->n_names),
        "labels", tctl_labels(spec->labels, spec->n_labels), "expires",
        tctl_time_or_null(token->metadata->expires_ns), "uses_left", (int)spec->uses_left);
}

static rl_code show_new(const Pb__AddTokenResponse *added, const char *format_name,
                        struct rl_error *err)
{
    enum rl_format format;
    rl_code rc = tctl_format(format_name, &format, err);
    if (rc != RL_OK)
        return rc;
    char *command = command_for(added);
    if (format == RL_FORMAT_TEXT) {
        char until[RL_CLOCK_TEXT_BYTES];
        rl_clock_format(added->token->metadata->expires_ns, until);
        printf("Token: %s\nGood until %s, %u time(s). On the machine that joins:\n\n    %s\n",
               added->secret, until, added->token->spec->uses_left, command);
    } else {
        json_t *object = token_json(added->token);
        json_object_set_new(object, "token", json_string(added->secret));
        json_object_set_new(object, "ca_pin", json_string(added->ca_pin));
        json_object_set_new(object, "command", json_string(command));
        rc = rl_output_value(stdout, format, object, err);
        json_decref(object);
    }
    rl_wipe(command, strlen(command));
    free(command);
    return rc;
}

static rl_code add_token(struct tctl_client *client, const void *settings,
                         const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct token_settings *s = settings;
    Pb__Label **labels = NULL;
    size_t count = 0;
    ProtobufCMessage *reply = NULL;
    Pb__AddTokenRequest request = PB__ADD_TOKEN_REQUEST__INIT;
    rl_code rc = parse_labels(&s->labels, &labels, &count, err);
    if (rc == RL_OK && s->types.count == 0)
        rc = rl_fail(err, RL_E_INVAL, "what may join with it? say --type=node");
    if (rc == RL_OK) {
        request.n_types = s->types.count;
        request.types = s->types.items;
        request.ttl_s = s->ttl_s;
        request.uses = (uint32_t)s->uses;
        request.n_names = s->names.count;
        request.names = s->names.items;
        request.n_labels = count;
        request.labels = labels;
        rc = tctl_call(client, "AddToken", &request.base, &reply, err);
    }
    if (rc == RL_OK) {
        rc = show_new((const Pb__AddTokenResponse *)reply, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    for (size_t i = 0; i < count; i++)
        pb__label__free_unpacked(labels[i], NULL);
    free(labels);
    return rc;
}

static const struct rl_column columns[] = {
    {"ID", "id"},         {"TYPES", "types"},     {"NAMES", "names"},
    {"LABELS", "labels"}, {"EXPIRES", "expires"}, {"USES LEFT", "uses_left"},
};

static rl_code list_tokens(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    const struct token_settings *s = settings;
    enum rl_format format;
    ProtobufCMessage *reply = NULL;
    char kind[] = "token", all[] = "";
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    request.kind = kind;
    request.name = all;
    rl_code rc = tctl_format(s->format, &format, err);
    if (rc == RL_OK)
        rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    if (rc != RL_OK)
        return rc;
    const Pb__GetResourcesResponse *found = (const Pb__GetResourcesResponse *)reply;
    json_t *array = json_array();
    for (size_t i = 0; i < found->n_resources; i++)
        if (found->resources[i]->kind_case == PB__RESOURCE__KIND_TOKEN)
            json_array_append_new(array, token_json(found->resources[i]->token));
    rc = rl_output_table(stdout, format, array, columns, RL_COUNT(columns), "No tokens.", err);
    json_decref(array);
    protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static rl_code remove_token(struct tctl_client *client, const void *settings,
                            const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    ProtobufCMessage *reply = NULL;
    char kind[] = "token";
    Pb__DeleteResourceRequest request = PB__DELETE_RESOURCE_REQUEST__INIT;
    request.kind = kind;
    request.name = rest->items[0];
    rl_code rc = tctl_call(client, "DeleteResource", &request.base, &reply, err);
    if (rc == RL_OK)
        protobuf_c_message_free_unpacked(reply, NULL);
    return rc;
}

static const struct rl_settings_spec add_spec = {
    .program = "tctl tokens add",
    .summary = "a token to join with, shown once",
    .usage = "--type=node [flags]",
    .example = "tctl tokens add --type=node --ttl=1h --labels=env=prod",
    .rows = add_rows,
    .count = RL_COUNT(add_rows),
};
static const struct rl_settings_spec ls_spec = {
    .program = "tctl tokens ls",
    .summary = "the tokens that are still good; never their secrets",
    .usage = "[--format=text|json|yaml]",
    .example = "tctl tokens ls",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
};
static const struct rl_settings_spec rm_spec = {
    .program = "tctl tokens rm",
    .summary = "end a token now",
    .usage = "ID",
    .example = "tctl tokens rm 0192f0c1",
    .rows = show_rows,
    .count = RL_COUNT(show_rows),
    .positional_max = 1,
};

static const struct tctl_command add_command = {
    .spec = &add_spec, .bytes = sizeof(struct token_settings), .work = add_token};
static const struct tctl_command ls_command = {
    .spec = &ls_spec, .bytes = sizeof(struct token_settings), .work = list_tokens};
static const struct tctl_command rm_command = {.spec = &rm_spec,
                                               .bytes = sizeof(struct token_settings),
                                               .positional_min = 1,
                                               .missing =
                                                   "which token? its id is in tctl tokens ls",
                                               .work = remove_token};
static const struct tctl_subcommand tokens_commands[] = {
    {"add", &add_command, "a token to join with, shown once"},
    {"ls", &ls_command, "the tokens that are still good"},
    {"rm", &rm_command, "end a token now"},
};
const struct tctl_group tctl_tokens = {"tokens", tokens_commands, RL_COUNT(tokens_commands)};
