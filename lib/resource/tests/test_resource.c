#include "resource/resource.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static Pb__Resource **resources;
static size_t count;

static void parse(const char *text)
{
    struct rl_error err = {0};
    ck_assert_msg(rl_resources_parse(rl_span_of(text), &resources, &count, &err) == RL_OK, "%s",
                  err.message);
}

static void done(void)
{
    rl_resources_free(&resources, count);
    count = 0;
}

static void expect_yaml(const char *want)
{
    struct rl_buf out;
    rl_buf_init(&out, RL_RESOURCE_BYTES_MAX);
    ck_assert_int_eq(rl_resources_to_yaml(resources, count, &out, NULL), RL_OK);
    ck_assert_str_eq(rl_buf_text(&out), want);
    rl_buf_fini(&out);
}

static const char contract_role[] =
    "kind: role\n"
    "version: v1\n"
    "metadata: {name: developer}\n"
    "spec:\n"
    "  allow:\n"
    "    logins: [\"{{internal.logins}}\", deploy]\n"
    "    node_labels: {env: [staging, dev], \"region\": \"^eu-.*$\"}\n"
    "    app_labels: {\"*\": \"*\"}\n"
    "    kubernetes_labels: {env: dev}\n"
    "    kubernetes_groups: [viewers]\n"
    "    kubernetes_users: []\n"
    "    kubernetes_resources: [{kind: pod, namespace: \"dev-*\", name: \"*\", verbs: [get, list, "
    "watch, exec]}]\n"
    "    cluster_labels: {\"*\": \"*\"}\n"
    "    rules: [{resources: [session, event], verbs: [list, read], where: own}]\n"
    "  deny:\n"
    "    node_labels: {env: prod}\n"
    "  options:\n"
    "    max_session_ttl: 12h\n"
    "    port_forwarding: false\n"
    "    forward_agent: false\n"
    "    ssh_file_copy: true\n"
    "    client_idle_timeout: 30m\n"
    "    disconnect_expired_cert: true\n"
    "    record_session: {default: best_effort, ssh: strict}\n"
    "    require_session_mfa: false\n"
    "    max_sessions: 10\n"
    "    lock: best_effort\n"
    "    pin_source_ip: false\n";

START_TEST(reads_the_role_of_the_contract)
{
    parse(contract_role);
    ck_assert_uint_eq(count, 1);
    ck_assert_str_eq(rl_resource_kind(resources[0]), "role");
    ck_assert_str_eq(rl_resource_name(resources[0]), "developer");
    const Pb__RoleConditions *allow = resources[0]->role->spec->allow;
    const Pb__RoleOptions *o = resources[0]->role->spec->options;
    ck_assert_uint_eq(allow->n_logins, 2);
    ck_assert_str_eq(allow->logins[0], "{{internal.logins}}");
    ck_assert_uint_eq(allow->n_node_labels, 2);
    ck_assert_str_eq(allow->node_labels[0]->key, "env");
    ck_assert_uint_eq(allow->node_labels[0]->n_values, 2);
    ck_assert_str_eq(allow->node_labels[1]->values[0], "^eu-.*$");
    ck_assert_uint_eq(allow->n_kubernetes_users, 0);
    ck_assert_str_eq(allow->kubernetes_resources[0]->verbs[3], "exec");
    ck_assert_str_eq(allow->rules[0]->where, "own");
    ck_assert(o->has_max_session_ttl_s && o->max_session_ttl_s == 43200);
    ck_assert(o->has_port_forwarding && !o->port_forwarding);
    ck_assert(o->has_max_sessions && o->max_sessions == 10);
    ck_assert_str_eq(o->record_session->default_mode, "best_effort");
    ck_assert_str_eq(o->record_session->ssh, "strict");
    ck_assert_str_eq(o->lock, "best_effort");
    done();
}
END_TEST

START_TEST(writes_it_in_the_order_of_the_contract)
{
    parse(contract_role);
    json_t *json = rl_resource_to_json(resources[0]);
    char *text = json_dumps(json, JSON_COMPACT);
    ck_assert_str_eq(
        text,
        "{\"kind\":\"role\",\"version\":\"v1\",\"metadata\":{\"name\":\"developer\"},\"spec\":{"
        "\"allow\":{\"logins\":[\"{{internal.logins}}\",\"deploy\"],\"node_labels\":{\"env\":["
        "\"staging\",\"dev\"],\"region\":\"^eu-.*$\"},\"app_labels\":{\"*\":\"*\"},"
        "\"kubernetes_labels\":{\"env\":\"dev\"},\"kubernetes_groups\":[\"viewers\"],"
        "\"kubernetes_resources\":[{\"kind\":\"pod\",\"namespace\":\"dev-*\",\"name\":\"*\","
        "\"verbs\":[\"get\",\"list\",\"watch\",\"exec\"]}],\"cluster_labels\":{\"*\":\"*\"},"
        "\"rules\":[{\"resources\":[\"session\",\"event\"],\"verbs\":[\"list\",\"read\"],\"where\":"
        "\"own\"}]},\"deny\":{\"node_labels\":{\"env\":\"prod\"}},\"options\":{"
        "\"max_session_ttl\":\"12h\",\"port_forwarding\":false,\"forward_agent\":false,"
        "\"ssh_file_copy\":true,\"client_idle_timeout\":\"30m\",\"disconnect_expired_cert\":true,"
        "\"record_session\":{\"default\":\"best_effort\",\"ssh\":\"strict\"},"
        "\"require_session_mfa\":false,\"max_sessions\":10,\"lock\":\"best_effort\","
        "\"pin_source_ip\":false}}}");
    free(text);
    json_decref(json);
    done();
}
END_TEST

START_TEST(tells_what_an_option_says_from_its_saying_nothing)
{
    parse(
        "{kind: role, version: v1, metadata: {name: a}, spec: {options: {ssh_file_copy: false}}}");
    const Pb__RoleOptions *o = resources[0]->role->spec->options;
    ck_assert(o->has_ssh_file_copy && !o->ssh_file_copy);
    ck_assert(!o->has_port_forwarding && !o->has_max_sessions && !o->has_max_session_ttl_s);
    expect_yaml("kind: role\nversion: v1\nmetadata:\n  name: a\nspec:\n  options:\n"
                "    ssh_file_copy: false\n");
    done();
}
END_TEST

START_TEST(reads_the_trusted_cluster_of_the_contract)
{
    parse("kind: trusted_cluster\nversion: v1\nmetadata: {name: root.example.com}\nspec:\n"
          "  enabled: true\n  token: tok-123\n  proxy: root.example.com:443\n  role_map:\n"
          "    - {remote: access, local: [guest]}\n"
          "    - {remote: \"^dev-(.*)$\", local: [\"leaf-$1\"]}\n");
    const Pb__TrustedClusterSpec *spec = resources[0]->trusted_cluster->spec;
    ck_assert(spec->enabled);
    ck_assert_str_eq(spec->token, "tok-123");
    ck_assert_uint_eq(spec->n_role_map, 2);
    ck_assert_str_eq(spec->role_map[1]->remote, "^dev-(.*)$");
    ck_assert_int_eq(rl_resource_check(resources[0], NULL), RL_OK);
    expect_yaml("kind: trusted_cluster\nversion: v1\nmetadata:\n  name: root.example.com\nspec:\n"
                "  enabled: true\n  token: <redacted>\n  proxy: root.example.com:443\n"
                "  role_map:\n  - remote: access\n    local:\n    - guest\n"
                "  - remote: ^dev-(.*)$\n    local:\n    - leaf-$1\n");
    done();
}
END_TEST

START_TEST(keeps_a_redacted_secret_as_that_word)
{
    parse("{kind: token, version: v1, metadata: {name: t, expires: 2026-11-22T15:47:43Z}, spec: "
          "{types: [node], secret: <redacted>, labels: {a: b}, uses_left: 2}}\n---\n"
          "{kind: ca, version: v1, metadata: {name: user-ssh}, spec: {kind: user, keys: [{id: k1, "
          "public_key: aGk=, private_key: <redacted>}]}}");
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(resources[0]->token->spec->secret, RL_RESOURCE_REDACTED);
    ck_assert_int_eq(resources[0]->token->metadata->expires_ns, INT64_C(1795362463000000000));
    const Pb__CaKey *key = resources[1]->ca->spec->keys[0];
    ck_assert_uint_eq(key->public_key.len, 2);
    ck_assert(rl_span_is(RL_SPAN(key->private_key.data, key->private_key.len), "<redacted>"));
    expect_yaml("kind: token\nversion: v1\nmetadata:\n  name: t\n"
                "  expires: \"2026-11-22T15:47:43Z\"\nspec:\n  types:\n  - node\n"
                "  labels:\n    a: b\n  uses_left: 2\n  secret: <redacted>\n---\n"
                "kind: ca\nversion: v1\nmetadata:\n  name: user-ssh\nspec:\n  kind: user\n"
                "  keys:\n  - id: k1\n    public_key: aGk=\n    private_key: <redacted>\n");
    done();
}
END_TEST

START_TEST(never_shows_a_secret)
{
    parse(
        "{kind: token, version: v1, metadata: {name: t}, spec: {types: [node], secret: hunter2}}");
    json_t *json = rl_resource_to_json(resources[0]);
    char *text = json_dumps(json, 0);
    ck_assert_ptr_null(strstr(text, "hunter2"));
    free(text);
    json_decref(json);
    done();
}
END_TEST

START_TEST(keeps_the_type_that_a_value_was_written_with)
{
    parse("kind: user\nversion: v1\nmetadata:\n  name: alice\n  labels: {a: no, b: \"true\", c: "
          "'12', "
          "d: 1.10, e: 0x1f, f: on, g: 010, h: \"\", i: \"null\", j: 2026-11-22}\n"
          "spec: {roles: [access], traits: {logins: [alice, root], team: core}}\n");
    static const char *const want[] = {"no", "true", "12", "1.10", "0x1f",
                                       "on", "010",  "",   "null", "2026-11-22"};
    const Pb__Metadata *metadata = rl_resource_metadata(resources[0]);
    ck_assert_uint_eq(metadata->n_labels, RL_COUNT(want));
    for (size_t i = 0; i < RL_COUNT(want); i++)
        ck_assert_str_eq(metadata->labels[i]->value, want[i]);
    const Pb__UserSpec *spec = resources[0]->user->spec;
    ck_assert_uint_eq(spec->n_traits, 2);
    ck_assert_str_eq(spec->traits[1]->values[0], "core");
    done();
}
END_TEST

START_TEST(takes_json_an_array_of_documents_and_empty_ones)
{
    parse("[\n\t{\"kind\":\"role\",\"version\":\"v1\",\"metadata\":{\"name\":\"a\\u0062\"}},\n"
          "\t{\"kind\":\"lock\",\"version\":\"v1\",\"metadata\":{\"name\":\"l\"}}]");
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(rl_resource_name(resources[0]), "ab");
    ck_assert_ptr_nonnull(resources[1]->lock->spec); /* there, though not written */
    done();
    parse("---\n---\nkind: role\nversion: v1\nmetadata: {name: a}\nspec:\n---\n");
    ck_assert_uint_eq(count, 1);
    done();
}
END_TEST

START_TEST(drops_the_status_of_a_user)
{
    parse("{kind: user, version: v1, metadata: {name: a}, status: {state: active, locked_until: "
          "2026-11-22T15:47:43Z}}");
    ck_assert_ptr_null(resources[0]->user->status);
    done();
}
END_TEST

START_TEST(knows_kinds_and_their_plurals)
{
    ck_assert_str_eq(rl_resource_kind_of("roles"), "role");
    ck_assert_str_eq(rl_resource_kind_of("role"), "role");
    ck_assert_str_eq(rl_resource_kind_of("cas"), "ca");
    ck_assert_str_eq(rl_resource_kind_of("kube_cluster"), "kube_cluster");
    ck_assert_ptr_null(rl_resource_kind_of("rolesx"));
    ck_assert_ptr_null(rl_resource_kind_of("rol"));
    ck_assert_ptr_null(rl_resource_kind_of(""));
    size_t here = 0, all = 0;
    for (const char *const *kind = rl_resource_kinds(); *kind; kind++, all++)
        here += rl_resource_kind_is_here(*kind);
    ck_assert_uint_eq(all, 14);
    ck_assert_uint_eq(here, pb__resource__descriptor.n_fields);
}
END_TEST

START_TEST(reads_labels_of_a_command_line)
{
    Pb__Label **labels;
    size_t n;
    ck_assert_int_eq(rl_labels_parse("env=dev,site=a=b,empty=", &labels, &n, NULL), RL_OK);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(labels[0]->key, "env");
    ck_assert_str_eq(labels[1]->value, "a=b");
    ck_assert_str_eq(labels[2]->value, "");
    for (size_t i = 0; i < n; i++)
        pb__label__free_unpacked(labels[i], NULL);
    free(labels);
    ck_assert_int_eq(rl_labels_parse("", &labels, &n, NULL), RL_OK);
    ck_assert_uint_eq(n, 0);
    free(labels);
    static const char *const bad[] = {"env", "env=dev,,", "=x", "a=1,a=2", "a=\n", "a=1,b"};
    for (size_t i = 0; i < RL_COUNT(bad); i++)
        ck_assert_msg(rl_labels_parse(bad[i], &labels, &n, NULL) == RL_E_INVAL, "%s", bad[i]);
}
END_TEST

START_TEST(bounds_the_labels_of_a_command_line)
{
    struct rl_buf text;
    Pb__Label **labels;
    size_t n = 0;
    rl_buf_init(&text, 4096);
    for (int i = 0; i < 64; i++)
        rl_buf_printf(&text, "%sk%d=v", i ? "," : "", i);
    ck_assert_int_eq(rl_labels_parse(rl_buf_text(&text), &labels, &n, NULL), RL_OK);
    ck_assert_uint_eq(n, 64);
    for (size_t i = 0; i < n; i++)
        pb__label__free_unpacked(labels[i], NULL);
    free(labels);
    rl_buf_put_text(&text, ",one=more");
    ck_assert_int_eq(rl_labels_parse(rl_buf_text(&text), &labels, &n, NULL), RL_E_INVAL);
    rl_buf_fini(&text);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("resource");
    tcase_add_test(t, reads_the_role_of_the_contract);
    tcase_add_test(t, writes_it_in_the_order_of_the_contract);
    tcase_add_test(t, tells_what_an_option_says_from_its_saying_nothing);
    tcase_add_test(t, reads_the_trusted_cluster_of_the_contract);
    tcase_add_test(t, keeps_a_redacted_secret_as_that_word);
    tcase_add_test(t, never_shows_a_secret);
    tcase_add_test(t, keeps_the_type_that_a_value_was_written_with);
    tcase_add_test(t, takes_json_an_array_of_documents_and_empty_ones);
    tcase_add_test(t, drops_the_status_of_a_user);
    tcase_add_test(t, knows_kinds_and_their_plurals);
    tcase_add_test(t, reads_labels_of_a_command_line);
    tcase_add_test(t, bounds_the_labels_of_a_command_line);
    Suite *s = suite_create("resource");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
