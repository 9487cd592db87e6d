/* resources: get, create, edit, rm: every kind by the same four commands. */
#include "edit.h"
#include "file/file.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct resource_settings {
    char *format;
    bool force;
};

#define AT(field) offsetof(struct resource_settings, field)
static const struct rl_setting get_rows[] = {
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = AT(format),
     .fallback = "yaml",
     .help = "yaml or json"},
};
static const struct rl_setting create_rows[] = {
    {.name = "force",
     .letter = 'f',
     .type = RL_SETTING_SWITCH,
     .offset = AT(force),
     .fallback = "no",
     .help = "replace what is there"},
};

/* "role/access", "roles", "role" -> kind and name ("" when there is none); heap text each. */
static rl_code split(const char *text, char **kind, char **name, struct rl_error *err)
{
    const char *slash = strchr(text, '/');
    char *word = slash ? rl_sprintf("%.*s", (int)(slash - text), text) : rl_strdup(text);
    const char *known = rl_resource_kind_of(word);
    if (!known) {
        struct rl_buf kinds;
        rl_buf_init(&kinds, 4096);
        for (const char *const *k = rl_resource_kinds(); *k; k++)
            rl_buf_printf(&kinds, "%s%s", kinds.n ? ", " : "", *k);
        rl_fail(err, RL_E_INVAL, "no kind is called \"%s\"; there are: %s", word,
                rl_buf_text(&kinds));
        rl_buf_fini(&kinds);
    } else {
        *kind = rl_strdup(known);
        *name = rl_strdup(slash ? slash + 1 : "");
    }
    free(word);
    return known ? RL_OK : RL_E_INVAL;
}

/* ---- get ---- */

static rl_code fetch(struct tctl_client *client, const char *text, Pb__GetResourcesResponse **out,
                     struct rl_error *err)
{
    char *kind = NULL, *name = NULL;
    ProtobufCMessage *reply = NULL;
    Pb__GetResourcesRequest request = PB__GET_RESOURCES_REQUEST__INIT;
    rl_code rc = split(text, &kind, &name, err);
    if (rc == RL_OK) {
        request.kind = kind;
        request.name = name;
        rc = tctl_call(client, "GetResources", &request.base, &reply, err);
    }
    if (rc == RL_OK)
        *out = (Pb__GetResourcesResponse *)reply;
    free(kind);
    free(name);
    return rc;
}

static rl_code print_json(const Pb__GetResourcesResponse *found, struct rl_error *err)
{
    json_t *array = json_array();
    for (size_t i = 0; i < found->n_resources; i++)
        json_array_append_new(array, rl_resource_to_json(found->resources[i]));
    rl_code rc = rl_output_value(stdout, RL_FORMAT_JSON, array, err);
    json_decref(array);
    return rc;
}

static rl_code check_get(const void *settings, struct rl_error *err)
{
    enum rl_format format;
    rl_code rc =
        rl_format_parse(((const struct resource_settings *)settings)->format, &format, err);
    if (rc == RL_OK && format == RL_FORMAT_TEXT)
        rc = rl_fail(err, RL_E_INVAL, "documents are yaml or json");
    return rc;
}

static rl_code get(struct tctl_client *client, const void *settings,
                   const struct rl_positionals *rest, struct rl_error *err)
{
    const struct resource_settings *s = settings;
    enum rl_format format;
    Pb__GetResourcesResponse *found = NULL;
    struct rl_buf text;
    rl_buf_init(&text, 64u << 20);
    rl_code rc = rl_format_parse(s->format, &format, err);
    if (rc == RL_OK)
        rc = fetch(client, rest->items[0], &found, err);
    if (rc == RL_OK && format == RL_FORMAT_JSON)
        rc = print_json(found, err);
    else if (rc == RL_OK &&
             (rc = rl_resources_to_yaml(found->resources, found->n_resources, &text, err)) == RL_OK)
        fputs(rl_buf_text(&text), stdout);
    if (found)
        pb__get_resources_response__free_unpacked(found, NULL);
    rl_buf_fini(&text);
    return rc;
}

/* ---- create ---- */

static rl_code put(struct tctl_client *client, Pb__Resource *resource, bool replace,
                   struct rl_error *err)
{
    ProtobufCMessage *reply = NULL;
    Pb__PutResourceRequest request = PB__PUT_RESOURCE_REQUEST__INIT;
    request.resource = resource;
    request.replace = replace;
    rl_code rc = tctl_call(client, "PutResource", &request.base, &reply, err);
    if (rc != RL_OK)
        return rl_error_prefix(err, "%s/%s", rl_resource_kind(resource),
                               rl_resource_name(resource));
    const Pb__PutResourceResponse *done = (const Pb__PutResourceResponse *)reply;
    for (size_t i = 0; i < done->n_warnings; i++)
        rl_output_say("tctl: warning: %s", done->warnings[i]);
    rl_output_say("%s/%s is %s.", rl_resource_kind(resource), rl_resource_name(resource),
                  done->created ? "created" : "updated");
    protobuf_c_message_free_unpacked(reply, NULL);
    return RL_OK;
}

static rl_code put_text(struct tctl_client *client, struct rl_span text, bool replace,
                        struct rl_error *err)
{
    Pb__Resource **resources = NULL;
    size_t count = 0;
    rl_code rc = rl_resources_parse(text, &resources, &count, err);
    if (rc == RL_OK && count == 0)
        rc = rl_fail(err, RL_E_INVAL, "there is no document in it");
    for (size_t i = 0; rc == RL_OK && i < count; i++)
        rc = put(client, resources[i], replace, err);
    rl_resources_free(&resources, count);
    return rc;
}

static rl_code create(struct tctl_client *client, const void *settings,
                      const struct rl_positionals *rest, struct rl_error *err)
{
    const struct resource_settings *s = settings;
    struct rl_buf text;
    rl_buf_init(&text, RL_RESOURCE_BYTES_MAX);
    rl_code rc = rl_file_read_input(rest->items[0], &text, err);
    if (rc == RL_OK)
        rc = put_text(client, rl_buf_span(&text), s->force, err);
    rl_buf_fini(&text);
    return rc;
}

/* ---- edit ---- */

static rl_code edit_text(struct tctl_client *client, struct rl_span before, struct rl_error *err)
{
    char *path = NULL;
    struct rl_buf after;
    rl_buf_init(&after, RL_RESOURCE_BYTES_MAX);
    rl_code rc = tctl_edit_copy(before, &after, &path, err);
    if (rc == RL_OK && rl_span_equal(before, rl_buf_span(&after)))
        rl_output_say("Nothing is changed.");
    else if (rc == RL_OK)
        rc = put_text(client, rl_buf_span(&after), true, err);
    if (path && rc == RL_OK)
        unlink(path);
    else if (path)
        rl_output_say("tctl: what you wrote is in %s", path);
    free(path);
    rl_buf_fini(&after);
    return rc;
}

static rl_code edit(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    Pb__GetResourcesResponse *found = NULL;
    struct rl_buf text;
    rl_buf_init(&text, RL_RESOURCE_BYTES_MAX);
    rl_code rc = strchr(rest->items[0], '/') ? fetch(client, rest->items[0], &found, err)
                                             : rl_fail(err, RL_E_INVAL, "which one? KIND/NAME");
    if (rc == RL_OK)
        rc = rl_resources_to_yaml(found->resources, found->n_resources, &text, err);
    if (rc == RL_OK)
        rc = edit_text(client, rl_buf_span(&text), err);
    if (found)
        pb__get_resources_response__free_unpacked(found, NULL);
    rl_buf_fini(&text);
    return rc;
}

/* ---- rm ---- */

static rl_code delete_one(struct tctl_client *client, const void *settings,
                          const struct rl_positionals *rest, struct rl_error *err)
{
    (void)settings;
    char *kind = NULL, *name = NULL;
    rl_code rc = split(rest->items[0], &kind, &name, err);
    if (rc == RL_OK && !name[0])
        rc = rl_fail(err, RL_E_INVAL, "which %s? tctl rm %s/NAME", kind, kind);
    if (rc == RL_OK)
        rc = tctl_remove(client, kind, name, err);
    if (rc == RL_OK)
        rl_output_say("%s/%s is removed.", kind, name);
    free(kind);
    free(name);
    return rc;
}

#define COMMAND(variable, verb, what, how, shown, table, absent, its_check, its_work)              \
    static const struct rl_settings_spec variable##_spec = {                                       \
        .program = "tctl " verb,                                                                   \
        .summary = what,                                                                           \
        .usage = how,                                                                              \
        .example = shown,                                                                          \
        .rows = table,                                                                             \
        .count = RL_COUNT(table),                                                                  \
        .positional_max = 1,                                                                       \
    };                                                                                             \
    const struct tctl_command variable = {                                                         \
        .spec = &variable##_spec,                                                                  \
        .bytes = sizeof(struct resource_settings),                                                 \
        .positional_min = 1,                                                                       \
        .missing = absent,                                                                         \
        .check = its_check,                                                                        \
        .work = its_work,                                                                          \
    }
COMMAND(tctl_get, "get", "documents as tctl create -f reads them",
        "KIND[/NAME] [--format=yaml|json]", "tctl get role/access", get_rows, "of which kind?",
        check_get, get);
COMMAND(tctl_create, "create", "make what a file says", "[-f] FILE|-", "tctl create -f role.yaml",
        create_rows, "from which file?", NULL, create);
COMMAND(tctl_edit, "edit", "change one in your editor", "KIND/NAME", "tctl edit role/access",
        create_rows, "which one?", NULL, edit);
COMMAND(tctl_rm, "rm", "remove one", "KIND/NAME", "tctl rm role/old", create_rows, "which one?",
        NULL, delete_one);
