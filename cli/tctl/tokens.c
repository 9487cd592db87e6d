#include "bytes/secret.h"
#include "clock/clock.h"
#include "names/names.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_BYTES_MAX 16384

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
     .help = "what may join with it: node, app, kube, proxy, broker, audit, or trusted_cluster"},
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

/* A whole cluster comes with it, and nothing else. */
static bool is_for_cluster(const Pb__TokenSpec *spec)
{
    for (size_t i = 0; i < spec->n_types; i++)
        if (strcmp(spec->types[i], "trusted_cluster") == 0)
            return true;
    return false;
}

/* A leaf holds the pin against this cluster's certificate before it sends the secret. */
static char *token_text(const Pb__AddTokenResponse *added)
{
    return is_for_cluster(added->token->spec) ? rl_sprintf("%s@%s", added->secret, added->ca_pin)
                                              : rl_strdup(added->secret);
}

static bool is_for_agents(const Pb__TokenSpec *spec)
{
    for (size_t i = 0; i < spec->n_types; i++)
        if (strcmp(spec->types[i], "node") == 0 || strcmp(spec->types[i], "app") == 0 ||
            strcmp(spec->types[i], "kube") == 0)
            return true;
    return false;
}

/* As a shell takes it for one word, whatever auth said it is (CVE-2022-36633). */
static void put_word(struct rl_buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "._:@/+=,-";
    char *word = rl_name_printable(text);
    if (word[0] && word[strspn(word, plain)] == '\0') {
        rl_buf_put_text(out, word);
    } else {
        rl_buf_put_u8(out, '\'');
        for (const char *c = word; *c; c++)
            rl_buf_put_text(out, *c == '\'' ? "'\\''" : (const char[]){*c, '\0'});
        rl_buf_put_u8(out, '\'');
    }
    rl_wipe_text(&word);
}

/* As a YAML scalar within a quoted here-document: nothing that auth says ends either. */
static void put_scalar(struct rl_buf *out, const char *key, const char *text)
{
    json_t *value = rl_json_text(text);
    char *quoted = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    rl_buf_printf(out, "  %s: %s\n", key, quoted ? quoted : "null");
    rl_wipe_text(&quoted);
    json_decref(value);
}

static void put_cluster_document(struct rl_buf *out, const Pb__AddTokenResponse *added,
                                 const char *cluster)
{
    char *token = token_text(added);
    rl_buf_put_text(out, "tctl create - <<'END'\nkind: trusted_cluster\nversion: v1\nmetadata:\n");
    put_scalar(out, "name", cluster);
    rl_buf_put_text(out, "spec:\n  enabled: true\n");
    put_scalar(out, "token", token);
    put_scalar(out, "proxy", added->public_address[0] ? added->public_address : "HOST:PORT");
    rl_buf_put_text(out, "  role_map:\n    - {remote: access, local: [access]}\nEND");
    rl_wipe_text(&token);
}

/* The secret goes in by stdin: on a command line it would show in ps. */
char *tctl_join_command(const Pb__AddTokenResponse *added, const char *cluster)
{
    const Pb__TokenSpec *spec = added->token->spec;
    struct rl_buf line;
    rl_buf_init(&line, COMMAND_BYTES_MAX);
    if (is_for_cluster(spec)) {
        put_cluster_document(&line, added, cluster);
    } else if (is_for_agents(spec)) {
        rl_buf_put_text(&line, "printf %s ");
        put_word(&line, added->secret);
        rl_buf_put_text(&line, " | remoteler start --proxy=");
        put_word(&line, added->public_address[0] ? added->public_address : "HOST:PORT");
        rl_buf_put_text(&line, " --ca-pin=");
        put_word(&line, added->ca_pin);
        rl_buf_put_text(&line, " --token=-");
    } else {
        rl_buf_put_text(&line, "remoteler-");
        put_word(&line, spec->n_types ? spec->types[0] : "SERVICE");
        rl_buf_put_text(&line, " run --join-token-file=FILE --ca-pin=");
        put_word(&line, added->ca_pin);
    }
    char *text = rl_strdup(line.failed ? "" : rl_buf_text(&line));
    rl_buf_fini(&line);
    return text;
}

json_t *tctl_token_json(const Pb__Token *token)
{
    if (!token || !token->metadata || !token->spec)
        return NULL;
    const Pb__TokenSpec *spec = token->spec;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I}", "id", rl_json_text(token->metadata->name),
                     "types", rl_json_texts(spec->types, spec->n_types), "names",
                     rl_json_texts(spec->names, spec->n_names), "labels",
                     rl_labels_to_json(spec->labels, spec->n_labels), "expires",
                     rl_json_time_or_null(token->metadata->expires_ns), "uses_left",
                     (json_int_t)spec->uses_left);
}

static rl_code print_new(const Pb__AddTokenResponse *added, const char *command)
{
    char until[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(added->token->metadata->expires_ns, until);
    char *token = token_text(added);
    char *secret = rl_name_printable(token);
    bool is_cluster = is_for_cluster(added->token->spec);
    printf("Token: %s\nGood until %s, %u time(s). %s:\n\n%s%s\n", secret, until,
           added->token->spec->uses_left,
           is_cluster ? "As an administrator of the leaf, with a role_map of your own"
                      : "On the machine that joins",
           is_cluster ? "" : "    ", command);
    rl_wipe_text(&secret);
    rl_wipe_text(&token);
    return RL_OK;
}

static rl_code show_new(const Pb__AddTokenResponse *added, const char *cluster,
                        const char *format_name, struct rl_error *err)
{
    enum rl_format format;
    rl_code rc = tctl_format(format_name, &format, err);
    if (rc != RL_OK)
        return rc;
    json_t *object = tctl_token_json(added->token);
    if (!object)
        return rl_fail(err, RL_E_INTERNAL, "auth's answer is not complete");
    char *command = tctl_join_command(added, cluster);
    char *token = token_text(added);
    if (format == RL_FORMAT_TEXT) {
        rc = print_new(added, command);
    } else {
        rl_json_put(object, "token", rl_json_text(token));
        rl_json_put(object, "ca_pin", rl_json_text(added->ca_pin));
        rl_json_put(object, "command", rl_json_text(command));
        rc = rl_output_value(stdout, format, object, err);
    }
    json_decref(object);
    rl_wipe_text(&command);
    rl_wipe_text(&token);
    return rc;
}

static rl_code check_format(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    return tctl_format(((const struct token_settings *)settings)->format, &format, err);
}

static rl_code check_add(const void *settings, struct rl_error *err)
{
    const struct token_settings *s = settings;
    if (s->types.count == 0)
        return rl_fail(err, RL_E_INVAL, "what may join with it? say --type=node");
    return check_format(settings, err);
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
    rl_code rc = rl_labels_parse_list(s->labels.items, s->labels.count, &labels, &count, err);
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
        rc = show_new((const Pb__AddTokenResponse *)reply, client->cluster, s->format, err);
        protobuf_c_message_free_unpacked(reply, NULL);
    }
    rl_labels_free(&labels, count);
    return rc;
}

static const struct rl_column columns[] = {
    {"ID", "id"},         {"TYPES", "types"},     {"NAMES", "names"},
    {"LABELS", "labels"}, {"EXPIRES", "expires"}, {"USES LEFT", "uses_left"},
};

static json_t *listed(const Pb__Resource *resource, const char *cluster)
{
    (void)cluster;
    return resource->kind_case == PB__RESOURCE__KIND_TOKEN ? tctl_token_json(resource->token)
                                                           : NULL;
}

static rl_code list_tokens(struct tctl_client *client, const void *settings,
                           const struct rl_positionals *rest, struct rl_error *err)
{
    (void)rest;
    static const struct tctl_listing tokens = {"token", listed, columns, RL_COUNT(columns),
                                               "No tokens."};
    return tctl_list(client, &tokens, ((const struct token_settings *)settings)->format, err);
}

static rl_code remove_token(struct tctl_client *client, const void *settings,
                            const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    return tctl_remove(client, "token", rest->items[0], err);
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

static const struct tctl_command add_command = {.spec = &add_spec,
                                                .bytes = sizeof(struct token_settings),
                                                .check = check_add,
                                                .work = add_token};
static const struct tctl_command ls_command = {.spec = &ls_spec,
                                               .bytes = sizeof(struct token_settings),
                                               .check = check_format,
                                               .work = list_tokens};
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
