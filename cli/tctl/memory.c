#include "memory.h"

#include "bytes/encoding.h"
#include "clock/clock.h"
#include "file/file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (256u << 20)

char *tctl_memory_path(const char *cluster)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && state[0] == '/')
        return rl_sprintf("%s/remoteler/audit-%s.json", state, cluster);
    if (home && home[0] == '/')
        return rl_sprintf("%s/.local/state/remoteler/audit-%s.json", home, cluster);
    return NULL;
}

void tctl_memory_fini(struct tctl_memory *memory)
{
    while (memory->key_count)
        pb__ca_key__free_unpacked(memory->keys[--memory->key_count], NULL);
    free(memory->keys);
    *memory = (struct tctl_memory){0};
}

/* ---- reading ---- */

/* {number, sha256}; false: it is none. */
static bool read_checkpoint(const json_t *object, uint64_t *number,
                            uint8_t sha256[RL_LEDGER_HASH_BYTES])
{
    const json_t *n = json_object_get(object, "number");
    const char *hex = json_string_value(json_object_get(object, "sha256"));
    struct rl_buf bytes;
    rl_buf_init(&bytes, RL_LEDGER_HASH_BYTES);
    bool is_good = json_is_integer(n) && json_integer_value(n) > 0 && hex &&
                   rl_hex_decode(hex, &bytes, NULL) == RL_OK && bytes.n == RL_LEDGER_HASH_BYTES;
    if (is_good) {
        *number = (uint64_t)json_integer_value(n);
        memcpy(sha256, bytes.p, RL_LEDGER_HASH_BYTES);
    }
    rl_buf_fini(&bytes);
    return is_good;
}

static Pb__CaKey *read_key(const json_t *object)
{
    const char *id = json_string_value(json_object_get(object, "id"));
    const char *text = json_string_value(json_object_get(object, "public_key"));
    struct rl_buf bytes;
    Pb__CaKey *key = NULL;
    rl_buf_init(&bytes, 4096);
    if (id && text && rl_base64_decode(text, &bytes, NULL) == RL_OK && bytes.n) {
        key = rl_alloc(sizeof *key);
        pb__ca_key__init(key);
        key->id = rl_strdup(id);
        key->public_key = (ProtobufCBinaryData){bytes.n, rl_alloc(bytes.n)};
        memcpy(key->public_key.data, bytes.p, bytes.n);
    }
    rl_buf_fini(&bytes);
    return key;
}

static rl_code fill(const json_t *root, const char *cluster, struct tctl_memory *out,
                    struct rl_error *err)
{
    const char *of = json_string_value(json_object_get(root, "cluster"));
    const json_t *keys = json_object_get(root, "keys");
    if (!of || strcmp(of, cluster) != 0)
        return rl_fail(err, RL_E_INVAL, "it is not of the cluster %s", cluster);
    out->keys = rl_alloc_array(json_array_size(keys) + 1, sizeof *out->keys);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        Pb__CaKey *key = read_key(json_array_get(keys, i));
        if (key)
            out->keys[out->key_count++] = key;
    }
    out->is_there = out->key_count > 0 &&
                    read_checkpoint(json_object_get(root, "checkpoint"), &out->number, out->sha256);
    return out->is_there ? RL_OK : rl_fail(err, RL_E_INVAL, "it is not whole");
}

rl_code tctl_memory_read(const char *path, const char *cluster, struct tctl_memory *out,
                         struct rl_error *err)
{
    struct rl_buf text;
    *out = (struct tctl_memory){0};
    rl_buf_init(&text, FILE_BYTES_MAX);
    rl_code rc = rl_file_read(path, &text, err);
    if (rc == RL_OK) {
        json_t *root = json_loadb(rl_buf_text(&text), text.n, 0, NULL);
        rc = fill(root, cluster, out, err);
        json_decref(root);
        if (rc != RL_OK) {
            tctl_memory_fini(out);
            rl_error_prefix(err, "%s", path);
        }
    } else if (rc == RL_E_NOT_FOUND) {
        rc = RL_OK;
    }
    rl_buf_fini(&text);
    return rc;
}

/* ---- what others saw ---- */

/* The object itself, or what is in it under a name of ours. */
static size_t add_object(struct rl_ledger_verifier *verifier, const json_t *object,
                         const char *path)
{
    static const char *const places[] = {"checkpoint", "last_checkpoint", "audit_head"};
    uint64_t number;
    uint8_t sha256[RL_LEDGER_HASH_BYTES];
    bool is_one = read_checkpoint(object, &number, sha256);
    for (size_t i = 0; !is_one && i < RL_COUNT(places); i++)
        is_one = read_checkpoint(json_object_get(object, places[i]), &number, sha256);
    if (is_one)
        rl_ledger_add_seen(verifier, number, sha256, path);
    return is_one;
}

static size_t add_lines(struct rl_ledger_verifier *verifier, const char *text, const char *path)
{
    size_t count = 0;
    while (*text) {
        size_t n = strcspn(text, "\n");
        json_t *object = json_loadb(text, n, 0, NULL);
        count += add_object(verifier, object, path);
        json_decref(object);
        text += n + (text[n] == '\n');
    }
    return count;
}

rl_code tctl_memory_add_seen(struct rl_ledger_verifier *verifier, const char *path,
                             struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, FILE_BYTES_MAX);
    rl_code rc = rl_file_read_input(path, &text, err);
    if (rc == RL_OK) {
        json_t *whole = json_loadb(rl_buf_text(&text), text.n, 0, NULL);
        size_t count = whole ? add_object(verifier, whole, path)
                             : add_lines(verifier, rl_buf_text(&text), path);
        if (count == 0)
            rc = rl_fail(err, RL_E_INVAL, "%s: there is no checkpoint in it", path);
        json_decref(whole);
    }
    rl_buf_fini(&text);
    return rc;
}

/* ---- writing ---- */

static json_t *to_json(const char *cluster, struct rl_ledger_keys keys,
                       const struct rl_ledger_result *result)
{
    char time[RL_CLOCK_TEXT_BYTES];
    rl_clock_format(result->last_time_ns, time);
    char *hex = rl_hex_encode(RL_SPAN(result->last_sha256, sizeof result->last_sha256));
    json_t *list = json_array();
    for (size_t i = 0; i < keys.count; i++) {
        const ProtobufCBinaryData *key = &keys.keys[i]->public_key;
        char *text = rl_base64_encode(RL_SPAN(key->data, key->len));
        json_array_append_new(list,
                              json_pack("{s:s, s:s}", "id", keys.keys[i]->id, "public_key", text));
        free(text);
    }
    json_t *root =
        json_pack("{s:s, s:{s:I, s:s, s:s}, s:o}", "cluster", cluster, "checkpoint", "number",
                  (json_int_t)result->last_number, "sha256", hex, "time", time, "keys", list);
    free(hex);
    return root;
}

/* Each directory of the path, as a shell's mkdir -p. */
static void make_directories(const char *path)
{
    char *copy = rl_strdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            break; /* writing says what is wrong */
        *slash = '/';
    }
    free(copy);
}

rl_code tctl_memory_write(const char *path, const char *cluster, struct rl_ledger_keys keys,
                          const struct rl_ledger_result *result, struct rl_error *err)
{
    json_t *root = to_json(cluster, keys, result);
    char *text = json_dumps(root, JSON_INDENT(2));
    make_directories(path);
    rl_code rc = rl_file_write(path, rl_span_of(text), err);
    free(text);
    json_decref(root);
    return rc;
}
