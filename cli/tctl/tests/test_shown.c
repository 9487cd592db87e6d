/* What auth and audit answer, as it is shown: whole or not, of any bytes. */
#include "run.h"
#include "tctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACED "\357\277\275"

static char name[] = "alice", odd[] = "a\377b", hostile[] = "x'; touch /tmp/owned; '\n",
            empty[] = "", node[] = "node", secret[] = "tok-1", pin[] = "sha256:00",
            address[] = "root.example:443";

static void check_json(json_t *value, const char *text)
{
    ck_assert_ptr_nonnull(value);
    char *got = json_dumps(value, JSON_COMPACT);
    ck_assert_str_eq(got, text);
    free(got);
    json_decref(value);
}

START_TEST(a_user_is_the_contracts)
{
    Pb__User user = PB__USER__INIT;
    Pb__UserSpec spec = PB__USER_SPEC__INIT;
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__Trait trait = PB__TRAIT__INIT, *traits = &trait;
    char *values[] = {odd}, logins[] = "logins";
    trait.key = logins;
    trait.n_values = 1;
    trait.values = values;
    spec.n_traits = 1;
    spec.traits = &traits;
    metadata.name = name;
    ck_assert_ptr_null(tctl_user_json(&user));
    user.metadata = &metadata;
    ck_assert_ptr_null(tctl_user_json(&user));
    user.spec = &spec;
    check_json(tctl_user_json(&user),
               "{\"name\":\"alice\",\"roles\":[],\"logins\":[\"a" REPLACED "b\"],\"traits\":{"
               "\"logins\":[\"a" REPLACED "b\"]},\"status\":\"active\",\"locked_until\":null,"
               "\"created\":null}");
}
END_TEST

/* A token as auth answers to `tokens add`. */
struct added {
    Pb__AddTokenResponse response;
    Pb__Token token;
    Pb__TokenSpec spec;
    Pb__Metadata metadata;
    char *types[1];
};

static void make(struct added *a, char *type)
{
    pb__add_token_response__init(&a->response);
    pb__token__init(&a->token);
    pb__token_spec__init(&a->spec);
    pb__metadata__init(&a->metadata);
    a->types[0] = type;
    a->spec.n_types = 1;
    a->spec.types = a->types;
    a->spec.uses_left = UINT32_MAX;
    a->metadata.name = name;
    a->token.spec = &a->spec;
    a->token.metadata = &a->metadata;
    a->response.token = &a->token;
    a->response.secret = secret;
    a->response.ca_pin = pin;
    a->response.public_address = address;
}

static void check_command(const struct added *a, const char *expected)
{
    char *command = tctl_join_command(&a->response, "root.example");
    ck_assert_str_eq(command, expected);
    free(command);
}

START_TEST(a_token_is_the_contracts)
{
    struct added a;
    make(&a, node);
    check_json(tctl_token_json(&a.token),
               "{\"id\":\"alice\",\"types\":[\"node\"],\"names\":[],"
               "\"labels\":{},\"expires\":null,\"uses_left\":4294967295}");
    a.token.metadata = NULL;
    ck_assert_ptr_null(tctl_token_json(&a.token));
    ck_assert_ptr_null(tctl_token_json(NULL));
}
END_TEST

START_TEST(the_command_to_join_can_be_pasted)
{
    static char broker[] = "broker";
    struct added a;
    make(&a, node);
    check_command(&a, "printf %s tok-1 | remoteler start --proxy=root.example:443 "
                      "--ca-pin=sha256:00 --token=-");
    a.response.public_address = empty;
    check_command(
        &a, "printf %s tok-1 | remoteler start --proxy=HOST:PORT --ca-pin=sha256:00 --token=-");
    make(&a, broker);
    check_command(&a, "remoteler-broker run --join-token-file=FILE --ca-pin=sha256:00");
    a.spec.n_types = 0;
    check_command(&a, "remoteler-SERVICE run --join-token-file=FILE --ca-pin=sha256:00");
}
END_TEST

START_TEST(a_leafs_document_can_be_pasted_with_its_token)
{
    static char cluster[] = "trusted_cluster";
    struct added a;
    make(&a, cluster);
    check_command(&a, "tctl create - <<'END'\nkind: trusted_cluster\nversion: v1\nmetadata:\n"
                      "  name: \"root.example\"\nspec:\n  enabled: true\n"
                      "  token: \"tok-1@sha256:00\"\n  proxy: \"root.example:443\"\n"
                      "  role_map:\n    - {remote: access, local: [access]}\nEND");
    static char evil[] = "x\nEND\ntouch /tmp/owned\n";
    a.response.secret = evil;
    char *command = tctl_join_command(&a.response, "root.example");
    char *end = strstr(command, "\nEND");
    ck_assert_ptr_nonnull(end);
    ck_assert_str_eq(end, "\nEND"); /* the document's own, and the last */
    free(command);
}
END_TEST

START_TEST(clusters_are_shown_on_one_list)
{
    static char leaf[] = "leaf.example", online[] = "online", version[] = "0.1.0";
    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__RemoteClusterSpec spec = PB__REMOTE_CLUSTER_SPEC__INIT;
    Pb__RemoteCluster below = PB__REMOTE_CLUSTER__INIT;
    Pb__TrustedClusterSpec root_spec = PB__TRUSTED_CLUSTER_SPEC__INIT;
    Pb__TrustedCluster above = PB__TRUSTED_CLUSTER__INIT;
    metadata.name = leaf;
    spec.status = online;
    spec.version = version;
    below.metadata = &metadata;
    below.spec = &spec;
    check_json(tctl_leaf_json(&below),
               "{\"name\":\"leaf.example\",\"type\":\"leaf\",\"enabled\":true,"
               "\"status\":\"online\",\"last_seen\":null,\"version\":\"0.1.0\",\"labels\":{}}");
    root_spec.status = online;
    above.metadata = &metadata;
    above.spec = &root_spec;
    check_json(tctl_root_json(&above),
               "{\"name\":\"leaf.example\",\"type\":\"root\",\"enabled\":false,"
               "\"status\":\"online\",\"last_seen\":null,\"version\":null,\"labels\":{}}");
    below.spec = NULL;
    ck_assert_ptr_null(tctl_leaf_json(&below));
    ck_assert_ptr_null(tctl_root_json(NULL));
}
END_TEST

START_TEST(what_auth_says_is_one_word_for_a_shell)
{
    struct added a;
    char line[512];
    make(&a, node);
    a.response.secret = hostile;
    char *command = tctl_join_command(&a.response, "root.example");
    ck_assert_ptr_null(strchr(command, '\n'));
    *strchr(command, '|') = '\0';
    snprintf(line, sizeof line, "test \"$(%s)\" = \"x'; touch /tmp/owned; '?\"", command);
    ck_assert_int_eq(system(line), 0);
    free(command);
    static char ipv6[] = "[::1]:443";
    make(&a, node);
    a.response.public_address = ipv6;
    check_command(&a, "printf %s tok-1 | remoteler start --proxy='[::1]:443' --ca-pin=sha256:00 "
                      "--token=-");
}
END_TEST

START_TEST(an_event_is_shown_whatever_bytes_are_in_it)
{
    Pb__Event event = PB__EVENT__INIT;
    event.command = odd;
    event.user = odd;
    event.cluster = odd;
    event.details_json = odd;
    json_t *shown = tctl_event_json(&event);
    ck_assert_ptr_nonnull(shown);
    ck_assert_str_eq(json_string_value(json_object_get(shown, "command")), "a" REPLACED "b");
    ck_assert(json_is_object(json_object_get(shown, "details")));
    ck_assert(json_is_null(json_object_get(shown, "exit_code")));
    ck_assert(json_is_null(json_object_get(shown, "resource")));
    static const char *const members[] = {
        "uid",      "time",        "type",      "code",        "version",         "outcome",
        "reason",   "user",        "cluster",   "session_id",  "root_session_id", "resource",
        "login",    "client_addr", "peer_addr", "command",     "exit_code",       "signal",
        "bytes_in", "bytes_out",   "details",   "user_cluster"};
    for (size_t i = 0; i < RL_COUNT(members); i++)
        ck_assert_msg(json_object_get(shown, members[i]) != NULL, "%s", members[i]);
    json_decref(shown);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("shown");
    tcase_add_test(t, a_user_is_the_contracts);
    tcase_add_test(t, a_token_is_the_contracts);
    tcase_add_test(t, the_command_to_join_can_be_pasted);
    tcase_add_test(t, a_leafs_document_can_be_pasted_with_its_token);
    tcase_add_test(t, clusters_are_shown_on_one_list);
    tcase_add_test(t, what_auth_says_is_one_word_for_a_shell);
    tcase_add_test(t, an_event_is_shown_whatever_bytes_are_in_it);
    return run_suite(t, "shown");
}
