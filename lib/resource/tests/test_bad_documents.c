#include "resource/resource.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *text, rl_code want, const char *message)
{
    Pb__Resource **resources = NULL;
    size_t count = 7;
    struct rl_error err = {0};
    rl_code code = rl_resources_parse(rl_span_of(text), &resources, &count, &err);
    ck_assert_msg(code == want, "%s\n-> %s %s", text, rl_code_name(code), err.message);
    ck_assert_str_eq(err.message, message);
    ck_assert_ptr_null(resources);
    ck_assert_uint_eq(count, 7);
}

#define HEAD "kind: role\nversion: v1\nmetadata: {name: a}\n"

START_TEST(names_the_line_and_the_field)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {HEAD "spec:\n  allow:\n    logins: [a]\n    node_label: {env: dev}\n",
         "line 7: spec.allow.node_label: unknown field; did you mean node_labels?"},
        {HEAD "spec:\n  options: {max_session_ttl_s: 12h}\n",
         "line 5: spec.options.max_session_ttl_s: unknown field; did you mean max_session_ttl?"},
        {HEAD "spec:\n  options: {record_session: {default_mode: off}}\n",
         "line 5: spec.options.record_session.default_mode: unknown field; did you mean default?"},
        {HEAD "spec:\n  zzz: 1\n", "line 5: spec.zzz: unknown field"},
        {HEAD "specs: {}\n", "line 4: specs: unknown field; did you mean spec?"},
        {HEAD "spec:\n  options: {max_session_ttl: 12}\n",
         "line 5: spec.options.max_session_ttl: \"12\" is not a duration; write it like 12h or "
         "30m"},
        {HEAD "spec:\n  options: {max_sessions: many}\n",
         "line 5: spec.options.max_sessions: a number, not text"},
        {HEAD "spec:\n  options: {max_sessions: -1}\n",
         "line 5: spec.options.max_sessions: -1 is out of range"},
        {HEAD "spec:\n  options: {max_sessions: 4294967296}\n",
         "line 5: spec.options.max_sessions: 4294967296 is out of range"},
        {HEAD "spec:\n  options: {ssh_file_copy: yes}\n",
         "line 5: spec.options.ssh_file_copy: true or false, not text"},
        {HEAD "spec:\n  options: {ssh_file_copy: \"true\"}\n",
         "line 5: spec.options.ssh_file_copy: true or false, not text"},
        {HEAD "spec:\n  allow: {logins: root}\n",
         "line 5: spec.allow.logins: a list, not text; write [a, b]"},
        {HEAD "spec:\n  allow: {logins: [1]}\n",
         "line 5: spec.allow.logins: text, not a number; write it in quotes"},
        {HEAD "spec:\n  allow: {logins: [true]}\n",
         "line 5: spec.allow.logins: text, not true or false; write it in quotes"},
        {HEAD "spec:\n  allow: {logins: [~]}\n", "line 5: spec.allow.logins: text, not empty"},
        {HEAD "spec:\n  allow: {node_labels: [a]}\n",
         "line 5: spec.allow.node_labels: a map, not a list of keys and values"},
        {HEAD "spec:\n  allow: {node_labels: {env: {a: b}}}\n",
         "line 5: spec.allow.node_labels.env: text, not a map"},
        {HEAD "spec:\n  allow: {rules: {}}\n", "line 5: spec.allow.rules: a list, not a map"},
        {HEAD "spec:\n  allow: {rules: [x]}\n",
         "line 5: spec.allow.rules: a map of fields, not text"},
        {HEAD "spec: []\n", "line 4: spec: a map of fields, not a list"},
        {"kind: user\nversion: v1\nmetadata: {name: a, expires: tomorrow}\n",
         "line 3: metadata.expires: \"tomorrow\" is not a time; write it like "
         "2026-11-22T15:47:43Z"},
        {"kind: ca\nversion: v1\nspec: {keys: [{public_key: \"*\"}]}\n",
         "line 3: spec.keys.public_key: not base64 of at most 65536 bytes"},
        {"kind: rol\nversion: v1\n", "line 1: kind: unknown; did you mean role?"},
        {"kind: roles\nversion: v1\n", "line 1: kind: unknown; did you mean role?"},
        {"kind: elephant\nversion: v1\n", "line 1: kind: unknown"},
        {"version: v1\n", "line 1: kind: missing; a document has kind, version, metadata and spec"},
        {"kind: role\nversion: v2\n", "line 2: version: it has to be v1"},
        {"kind: role\n", "line 1: version: it has to be v1"},
        {"just text\n", "line 1: a document is a map, this is text"},
        {"", "there is no document in it"},
        {"---\n# nothing\n", "there is no document in it"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        expect(rows[i].text, RL_E_INVAL, rows[i].message);
}
END_TEST

START_TEST(refuses_what_yaml_has_beyond_data)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"kind: &k role\n", "line 1: anchors (&) are not taken"},
        {"a: &x [1]\n", "line 1: anchors (&) are not taken"},
        {"a: &x {b: 1}\n", "line 1: anchors (&) are not taken"},
        {"a: 1\nb: *x\n", "line 2: aliases (*) are not taken"},
        {"a: !!str 1\n", "line 1: tags (!) are not taken"},
        {"a: !x {}\n", "line 1: tags (!) are not taken"},
        {"a: !x []\n", "line 1: tags (!) are not taken"},
        {"kind: role\nkind: user\n", "line 2: the key kind twice; first in line 1"},
        {"? [a]\n: b\n", "line 1: a key is text, this is a list"},
        {"a: \"x\\0y\"\n", "line 1: a text with a zero byte"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++)
        expect(rows[i].text, RL_E_INVAL, rows[i].message);
}
END_TEST

START_TEST(refuses_what_is_not_yaml)
{
    static const char *const bad[] = {
        "a: [",     "{", "a: b: c", "\t- a", "\xff\xfe", "a: \"\\ud800\"", "%YAML 9.9\n---\na: b",
        "- a\nb: c"};
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        Pb__Resource **resources = NULL;
        size_t count;
        struct rl_error err;
        ck_assert_msg(rl_resources_parse(rl_span_of(bad[i]), &resources, &count, &err) ==
                          RL_E_INVAL,
                      "%s", bad[i]);
        ck_assert_msg(strncmp(err.message, "line ", 5) == 0, "%s", err.message);
    }
}
END_TEST

START_TEST(says_which_kinds_are_not_in_this_version)
{
    expect("kind: app\nversion: v1\nmetadata: {name: a}\nspec: {uri: x}\n", RL_E_UNIMPLEMENTED,
           "line 1: kind: app is not in this version");
    static const char *const kinds[] = {"kube_cluster", "connector", "access_request", "session"};
    for (size_t i = 0; i < RL_COUNT(kinds); i++) {
        char *text = rl_sprintf("kind: %s\nversion: v1\n", kinds[i]);
        char *message = rl_sprintf("line 1: kind: %s is not in this version", kinds[i]);
        expect(text, RL_E_UNIMPLEMENTED, message);
        free(text);
        free(message);
    }
}
END_TEST

static rl_code parse_repeated(const char *head, const char *unit, size_t times, const char *tail)
{
    struct rl_buf text;
    rl_buf_init(&text, 2 * RL_RESOURCE_BYTES_MAX);
    rl_buf_put_text(&text, head);
    for (size_t i = 0; i < times; i++)
        rl_buf_put_text(&text, unit);
    rl_buf_put_text(&text, tail);
    Pb__Resource **resources = NULL;
    size_t count = 0;
    rl_code code = rl_resources_parse(rl_buf_span(&text), &resources, &count, NULL);
    rl_resources_free(&resources, count);
    rl_buf_fini(&text);
    return code;
}

START_TEST(bounds_documents_lists_depth_and_size)
{
    const char *document = "{kind: role, version: v1}\n---\n";
    ck_assert_int_eq(parse_repeated("", document, RL_RESOURCE_DOCUMENTS_MAX, ""), RL_OK);
    ck_assert_int_eq(parse_repeated("", document, RL_RESOURCE_DOCUMENTS_MAX + 1, ""), RL_E_INVAL);
    const char *list = "{kind: role, version: v1, spec: {allow: {logins: [";
    ck_assert_int_eq(parse_repeated(list, "a,", 1000, "]}}}"), RL_OK);
    ck_assert_int_eq(parse_repeated(list, "a,", 1001, "]}}}"), RL_E_INVAL);
    ck_assert_int_eq(parse_repeated("", "[", 100000, ""), RL_E_INVAL);
    ck_assert_int_eq(parse_repeated("", "- ", 100000, ""), RL_E_INVAL);
    size_t used = strlen("{kind: role, version: v1}\n#");
    ck_assert_int_eq(
        parse_repeated("{kind: role, version: v1}\n#", "x", RL_RESOURCE_BYTES_MAX - used, ""),
        RL_OK);
    ck_assert_int_eq(
        parse_repeated("{kind: role, version: v1}\n#", "x", RL_RESOURCE_BYTES_MAX - used + 1, ""),
        RL_E_INVAL);
}
END_TEST

START_TEST(checks_the_values_of_a_document)
{
    static const struct {
        const char *text, *message; /* NULL: fine */
    } rows[] = {
        {HEAD, NULL},
        {"kind: role\nversion: v1\n", "metadata.name: missing"},
        {"{kind: role, version: v1, metadata: {name: \"a b\"}}", "metadata.name: "},
        {"{kind: role, version: v1, metadata: {name: a, labels: {\"-\": x}}}", "metadata.labels: "},
        {"{kind: user, version: v1, metadata: {name: a@b}, spec: {roles: [access]}}", NULL},
        {"{kind: user, version: v1, metadata: {name: a}, spec: {roles: [\"*\"]}}", "spec.roles: "},
        {"{kind: user, version: v1, metadata: {name: a}, spec: {traits: {k: [\"\\x01\"]}}}",
         "spec.traits: k: "},
        {"{kind: node, version: v1, metadata: {name: x}}", "metadata.name: a node's name"},
        {"{kind: cluster_config, version: v1, metadata: {name: x}}", "metadata.name: there is one"},
        {"{kind: cluster_config, version: v1, metadata: {name: cluster}, spec: {public_address: "
         "nowhere}}",
         "spec.public_address: "},
        {"{kind: cluster_config, version: v1, metadata: {name: cluster}, spec: {policy_max_age: "
         "7d}}",
         NULL},
        {"{kind: lock, version: v1, metadata: {name: l}, spec: {target_kind: user, target_name: "
         "a}}",
         NULL},
        {"{kind: lock, version: v1, metadata: {name: l}, spec: {target_kind: usr}}",
         "spec.target_kind: \"usr\" is not one; did you mean user?"},
        {"{kind: lock, version: v1, metadata: {name: l}, spec: {target_kind: user}}",
         "spec.target_name: a lock has a target"},
        {"{kind: lock, version: v1, metadata: {name: l}, spec: {target_kind: node, target_name: a, "
         "target_cluster: b}}",
         "spec.target_cluster: only of a user"},
        {"{kind: token, version: v1, metadata: {name: t}}", "spec.types: a token has"},
        {"{kind: token, version: v1, metadata: {name: t}, spec: {types: [nod]}}",
         "spec.types: \"nod\" is not one; did you mean node?"},
        {"{kind: token, version: v1, metadata: {name: t}, spec: {types: [node], names: [\"^(\"]}}",
         "spec.names: "},
        {"{kind: trusted_cluster, version: v1, metadata: {name: r.example}, spec: {role_map: "
         "[{remote: \"^($\", local: [a]}]}}",
         "spec.role_map: "},
        {"{kind: trusted_cluster, version: v1, metadata: {name: r.example}, spec: {role_map: "
         "[{remote: a}]}}",
         "spec.role_map: a mapping has local roles"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Resource **resources = NULL;
        size_t count = 0;
        struct rl_error err = {0};
        ck_assert_msg(rl_resources_parse(rl_span_of(rows[i].text), &resources, &count, &err) ==
                          RL_OK,
                      "%s", err.message);
        rl_code code = rl_resource_check(resources[0], &err);
        ck_assert_msg(code == (rows[i].message ? RL_E_INVAL : RL_OK), "%s: %s", rows[i].text,
                      err.message);
        if (rows[i].message)
            ck_assert_msg(strncmp(err.message, rows[i].message, strlen(rows[i].message)) == 0, "%s",
                          err.message);
        rl_resources_free(&resources, count);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("bad documents");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, names_the_line_and_the_field);
    tcase_add_test(t, refuses_what_yaml_has_beyond_data);
    tcase_add_test(t, refuses_what_is_not_yaml);
    tcase_add_test(t, says_which_kinds_are_not_in_this_version);
    tcase_add_test(t, bounds_documents_lists_depth_and_size);
    tcase_add_test(t, checks_the_values_of_a_document);
    Suite *s = suite_create("bad documents");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
