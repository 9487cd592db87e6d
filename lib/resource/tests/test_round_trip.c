/* Any message, written and read again, is the same message: with random content in every field of
 * every kind, and texts that YAML likes to take for something else. */
#include "clock/clock.h"
#include "resource/resource.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 300

static uint64_t state;

static unsigned pick(unsigned n)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % n;
}

static const char *const texts[] = {
    "a",
    "no",
    "true",
    "null",
    "~",
    "12",
    "1.5",
    "0x1f",
    "1e3",
    "12h",
    "2026-11-22",
    "*",
    "&a",
    "!x",
    "- a",
    "a: b",
    "a #b",
    "#",
    "{}",
    "[a]",
    "'",
    "\"",
    "\\",
    "^eu-.*$",
    "{{internal.logins}}",
    " lead",
    "trail ",
    "tab\there",
    "two\nlines",
    "ends\n",
    "\n",
    "\n\n a\n",
    "%YAML",
    "---",
    "...",
    "?",
    ":",
    "|",
    ">",
    "@",
    "`",
    "=",
    "<<",
    "caf\xc3\xa9",
    "\xf0\x9f\x98\x80",
    "\x01",
    "long text with many words that an emitter would"
    " like to fold at eighty columns, had it not been told to leave it as it is, whatever it takes",
    "\xc2\x85",
    "\xe2\x80\xa8",
    "\xef\xbb\xbf",
    "\x7f",
};
/* The last four may stand as they are in JSON; YAML keeps them as escapes only. */
static size_t texts_used = RL_COUNT(texts);

static char *random_text(void)
{
    return rl_strdup(texts[pick((unsigned)texts_used)]);
}

static bool ends_with(const char *name, const char *end)
{
    return strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
}

static ProtobufCMessage *random_message(const ProtobufCMessageDescriptor *type);

/* One value at `to`; keys of a map have to differ. */
static void put_random(void *to, const ProtobufCFieldDescriptor *field, size_t i)
{
    ProtobufCBinaryData *bytes = to;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)to =
            strcmp(field->name, "key") == 0 ? rl_sprintf("k%zu-%u", i, pick(100)) : random_text();
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)to = pick(2) == 1;
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)to = pick(3) ? pick(100) : UINT32_MAX;
        break;
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)to = pick(3) ? pick(100000) : INT64_MAX / 1000;
        break;
    case PROTOBUF_C_TYPE_INT64: /* shown to the millisecond */
        *(int64_t *)to = ends_with(field->name, "_ns") ? (int64_t)pick(2000000000) * 1000000000
                                                       : (int64_t)pick(100) - 50;
        break;
    case PROTOBUF_C_TYPE_BYTES:
        bytes->len = 1 + pick(40);
        bytes->data = rl_alloc(bytes->len);
        for (size_t j = 0; j < bytes->len; j++)
            bytes->data[j] = (uint8_t)pick(256);
        break;
    default:
        *(ProtobufCMessage **)to = random_message(field->descriptor);
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_STRING ? sizeof(char *) : sizeof(ProtobufCMessage *);
}

static bool is_secret(const char *name)
{
    return strcmp(name, "secret") == 0 || strcmp(name, "token") == 0 ||
           strcmp(name, "private_key") == 0;
}

static void fill_repeated(char *message, const ProtobufCFieldDescriptor *field)
{
    bool is_label = field->descriptor == &pb__label_match__descriptor ||
                    field->descriptor == &pb__trait__descriptor;
    size_t count = is_label ? 1 + pick(3) : pick(4);
    char *items = rl_alloc_array(count, value_size(field));
    for (size_t i = 0; i < count; i++)
        put_random(items + i * value_size(field), field, i);
    *(size_t *)(void *)(message + field->quantifier_offset) = count;
    *(void **)(void *)(message + field->offset) = items;
}

static void rename_keys(ProtobufCMessage **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const ProtobufCFieldDescriptor *key =
            protobuf_c_message_descriptor_get_field_by_name(items[i]->descriptor, "key");
        if (!key)
            return;
        char **text = (char **)(void *)((char *)items[i] + key->offset);
        free(*text);
        *text = rl_sprintf("k%zu", i);
    }
}

static void fill_field(char *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        fill_repeated(message, field);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            rename_keys(*(ProtobufCMessage ***)(void *)(message + field->offset),
                        *(size_t *)(void *)(message + field->quantifier_offset));
        return;
    }
    put_random(message + field->offset, field, 0);
    bool is_scalar =
        field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE;
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && is_scalar)
        *(protobuf_c_boolean *)(void *)(message + field->quantifier_offset) = true;
}

static ProtobufCMessage *random_message(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = rl_alloc(type->sizeof_message);
    protobuf_c_message_init(type, message);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool is_key = strcmp(field->name, "key") == 0;
        if (!is_secret(field->name) && strcmp(field->name, "status") != 0 &&
            (is_key || pick(5) || field->type == PROTOBUF_C_TYPE_MESSAGE ||
             strcmp(field->name, "values") == 0))
            fill_field((char *)message, field);
    }
    return message;
}

static Pb__Resource *random_resource(void)
{
    Pb__Resource *resource = rl_alloc(sizeof *resource);
    pb__resource__init(resource);
    const ProtobufCFieldDescriptor *field =
        &pb__resource__descriptor.fields[pick(pb__resource__descriptor.n_fields)];
    resource->kind_case = (Pb__Resource__KindCase)field->id;
    ProtobufCMessage **to = (ProtobufCMessage **)(void *)((char *)resource + field->offset);
    *to = random_message(field->descriptor);
    return resource;
}

static struct rl_buf pack(const Pb__Resource *resource)
{
    struct rl_buf out;
    rl_buf_init(&out, RL_RESOURCE_BYTES_MAX);
    uint8_t *to = rl_buf_reserve(&out, pb__resource__get_packed_size(resource));
    ck_assert_ptr_nonnull(to);
    out.n = pb__resource__pack(resource, to);
    return out;
}

static void expect_same_again(const Pb__Resource *resource, struct rl_span text, unsigned seed)
{
    Pb__Resource **again = NULL;
    size_t count = 0;
    struct rl_error err = {0};
    ck_assert_msg(rl_resources_parse(text, &again, &count, &err) == RL_OK, "seed %u: %s\n%.*s",
                  seed, err.message, (int)text.n, (const char *)text.p);
    ck_assert_uint_eq(count, 1);
    struct rl_buf want = pack(resource), got = pack(again[0]);
    ck_assert_msg(rl_span_equal(rl_buf_span(&want), rl_buf_span(&got)), "seed %u:\n%.*s", seed,
                  (int)text.n, (const char *)text.p);
    rl_buf_fini(&want);
    rl_buf_fini(&got);
    rl_resources_free(&again, count);
}

START_TEST(reads_back_what_it_wrote_as_yaml)
{
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        state = seed;
        Pb__Resource *resource = random_resource();
        struct rl_buf text;
        rl_buf_init(&text, RL_RESOURCE_BYTES_MAX);
        ck_assert_int_eq(rl_resources_to_yaml(&resource, 1, &text, NULL), RL_OK);
        expect_same_again(resource, rl_buf_span(&text), seed);
        rl_buf_fini(&text);
        pb__resource__free_unpacked(resource, NULL);
    }
}
END_TEST

START_TEST(reads_back_what_it_wrote_as_json)
{
    texts_used = RL_COUNT(texts) - 4;
    for (unsigned seed = 0; seed < ROUNDS; seed++) {
        state = seed;
        Pb__Resource *resource = random_resource();
        json_t *json = rl_resource_to_json(resource);
        char *text = json_dumps(json, seed % 2 ? JSON_INDENT(2) : JSON_COMPACT);
        expect_same_again(resource, rl_span_of(text), seed);
        free(text);
        json_decref(json);
        pb__resource__free_unpacked(resource, NULL);
    }
    texts_used = RL_COUNT(texts);
}
END_TEST

START_TEST(tells_when_the_room_is_too_small)
{
    state = 1;
    Pb__Resource *resource = random_resource();
    struct rl_buf text;
    rl_buf_init(&text, 20);
    ck_assert_int_eq(rl_resources_to_yaml(&resource, 1, &text, NULL), RL_E_EXHAUSTED);
    rl_buf_fini(&text);
    pb__resource__free_unpacked(resource, NULL);
}
END_TEST

START_TEST(shows_text_from_the_wire_that_is_no_utf8)
{
    Pb__Resource resource = PB__RESOURCE__INIT;
    Pb__Lock lock = PB__LOCK__INIT;
    Pb__LockSpec spec = PB__LOCK_SPEC__INIT;
    char message[] = "bad \xff text";
    resource.kind_case = PB__RESOURCE__KIND_LOCK;
    resource.lock = &lock;
    lock.spec = &spec;
    spec.message = message;
    json_t *json = rl_resource_to_json(&resource);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(json, "spec"), "message")),
                     "bad \xEF\xBF\xBD text");
    json_decref(json);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("round trip");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, reads_back_what_it_wrote_as_yaml);
    tcase_add_test(t, reads_back_what_it_wrote_as_json);
    tcase_add_test(t, tells_when_the_room_is_too_small);
    tcase_add_test(t, shows_text_from_the_wire_that_is_no_utf8);
    Suite *s = suite_create("round trip");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
