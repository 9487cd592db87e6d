/* config: a copy that lives as long as the party does. */
#include "enrol/party.h"

#include "file/file.h"

#include <stdlib.h>
#include <string.h>

#define PIN_FILE_BYTES_MAX 4096

static char *copy_text(const char *text)
{
    return text && *text ? rl_strdup(text) : NULL;
}

static const char *const *copy_texts(const char *const *from, size_t count)
{
    char **to = rl_alloc_array(count, sizeof *to);
    for (size_t i = 0; i < count; i++)
        to[i] = rl_strdup(from[i]);
    return (const char *const *)to;
}

static Pb__Label *const *copy_labels(Pb__Label *const *from, size_t count)
{
    Pb__Label **to = rl_alloc_array(count, sizeof *to);
    for (size_t i = 0; i < count; i++) {
        to[i] = rl_alloc(sizeof **to);
        pb__label__init(to[i]);
        to[i]->key = rl_strdup(from[i]->key);
        to[i]->value = rl_strdup(from[i]->value);
    }
    return to;
}

void rl_enrol_config_copy(const struct rl_enrol_config *from, struct rl_enrol_config *to)
{
    *to = *from;
    to->state_dir = copy_text(from->state_dir);
    to->auth_address = copy_text(from->auth_address);
    to->ca_pin = copy_text(from->ca_pin);
    to->kind = copy_text(from->kind);
    to->agent_kinds = copy_texts(from->agent_kinds, from->agent_kind_count);
    to->node_name = copy_text(from->node_name);
    to->hostname = copy_text(from->hostname);
    to->labels = copy_labels(from->labels, from->label_count);
    to->addresses = copy_texts(from->addresses, from->address_count);
    to->advertise_address = copy_text(from->advertise_address);
}

static void free_text(const char *text)
{
    free((char *)(uintptr_t)text);
}

rl_code rl_enrol_config_read_pin(struct rl_enrol_config *config, struct rl_error *err)
{
    if (!config->ca_pin || config->ca_pin[0] != '@')
        return RL_OK;
    struct rl_buf text;
    rl_buf_init(&text, PIN_FILE_BYTES_MAX);
    rl_code rc = rl_file_read(config->ca_pin + 1, &text, err);
    const char *pin = (const char *)text.p;
    size_t n = 0;
    while (rc == RL_OK && n < text.n && pin[n] > ' ')
        n++;
    if (rc == RL_OK && n == 0)
        rl_fail(err, rc = RL_E_INVAL, "%s is empty", config->ca_pin + 1);
    if (rc == RL_OK) {
        char *copy = rl_sprintf("%.*s", (int)n, pin);
        free_text(config->ca_pin);
        config->ca_pin = copy;
    }
    rl_buf_fini(&text);
    if (rc == RL_OK)
        return RL_OK;
    rl_error_prefix(err, "--ca-pin");
    return RL_E_INVAL;
}

static void free_texts(const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free_text(texts[i]);
    free((void *)(uintptr_t)texts);
}

void rl_enrol_config_fini(struct rl_enrol_config *config)
{
    free_text(config->state_dir);
    free_text(config->auth_address);
    free_text(config->ca_pin);
    free_text(config->kind);
    free_texts(config->agent_kinds, config->agent_kind_count);
    free_text(config->node_name);
    free_text(config->hostname);
    for (size_t i = 0; i < config->label_count; i++)
        pb__label__free_unpacked(config->labels[i], NULL);
    free((void *)(uintptr_t)config->labels);
    free_texts(config->addresses, config->address_count);
    free_text(config->advertise_address);
}
