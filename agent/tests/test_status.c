#include "status.h"

#include "world.h"

#include <sys/stat.h>
#include <sys/wait.h>

static struct rl_error err;

/* No broker: the test says how the uplink is. */
static struct uplink_status up;

void uplink_status(const struct uplink *uplink, struct uplink_status *out)
{
    (void)uplink;
    *out = up;
}

static void check_described(const char *expected)
{
    json_t *status = status_describe(&w.agent, &up);
    ck_assert_ptr_nonnull(status);
    char *text = json_dumps(status, JSON_COMPACT);
    ck_assert_str_eq(text, expected);
    free(text);
    json_decref(status);
}

START_TEST(the_status_is_the_contracts)
{
    up = (struct uplink_status){.broker = "", .last_error = ""};
    check_described("{\"id\":\"" UUID_A "\",\"name\":\"node-a\",\"cluster\":\"main\",\"mode\":"
                    "\"tunnel\",\"connected\":false,\"broker\":null,\"since\":null,"
                    "\"last_error\":null,\"policy_version\":null,\"policy_age_s\":null,"
                    "\"audit_head\":null}");
    up = (struct uplink_status){.is_connected = true,
                                .broker = "broker-1",
                                .since_ns = 1763800000 * SECOND,
                                .last_error = ""};
    ck_assert_int_eq(world_update(7, world_nonce(), &err), RL_OK);
    w.agent.is_direct = true;
    json_t *status = status_describe(&w.agent, &up);
    ck_assert(json_is_true(json_object_get(status, "connected")));
    ck_assert_str_eq(json_string_value(json_object_get(status, "mode")), "direct");
    ck_assert_str_eq(json_string_value(json_object_get(status, "broker")), "broker-1");
    ck_assert_str_eq(json_string_value(json_object_get(status, "since")), "2025-11-22T08:26:40Z");
    ck_assert_int_eq(json_integer_value(json_object_get(status, "policy_version")), 7);
    ck_assert_int_lt(json_integer_value(json_object_get(status, "policy_age_s")), 60);
    json_decref(status);
}
END_TEST

START_TEST(a_brokers_words_can_not_take_the_status_away)
{
    up = (struct uplink_status){.broker = "b\377", .last_error = "no \377\300 connection"};
    json_t *status = status_describe(&w.agent, &up);
    ck_assert_ptr_nonnull(status);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(status, "last_error")), " connection"));
    json_decref(status);
}
END_TEST

/* Asks as `remoteler status` does, in a process of its own, while the loop turns here. */
static char *asked(int *code)
{
    static char text[4096];
    int out[2];
    ck_assert_int_eq(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char name[] = "status", format[] = "--format=json", dir[96];
        snprintf(dir, sizeof dir, "--data-dir=%s", w.dir);
        char *argv[] = {name, format, dir, NULL};
        dup2(out[1], STDOUT_FILENO);
        int status = agent_status(3, argv);
        fflush(stdout);
        _exit(status);
    }
    close(out[1]);
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0)
        rl_loop_turn(w.agent.loop, 10);
    ssize_t n = read(out[0], text, sizeof text - 1);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(out[0]);
    *code = WEXITSTATUS(status);
    return text;
}

START_TEST(the_agent_answers_on_a_socket_of_its_own_user)
{
    struct status_server *server = NULL;
    struct stat st;
    char path[96];
    int code;
    up = (struct uplink_status){.is_connected = true, .broker = "broker-1", .last_error = ""};
    ck_assert_int_eq(status_server_create(&w.agent, &server, &err), RL_OK);
    snprintf(path, sizeof path, "%s/" RL_AGENT_STATUS_SOCKET, w.dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    json_t *status = json_loads(asked(&code), 0, NULL);
    ck_assert_int_eq(code, 0);
    ck_assert_str_eq(json_string_value(json_object_get(status, "broker")), "broker-1");
    json_decref(status);
    status_server_free(&server);
    ck_assert_int_ne(stat(path, &st), 0);
    ck_assert_str_eq(asked(&code), "");
    ck_assert_int_eq(code, 1);
}
END_TEST

START_TEST(a_dead_agents_socket_is_no_obstacle)
{
    struct status_server *first = NULL, *second = NULL;
    ck_assert_int_eq(status_server_create(&w.agent, &first, &err), RL_OK);
    ck_assert_int_eq(status_server_create(&w.agent, &second, &err), RL_OK);
    status_server_free(&second);
    status_server_free(&first);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("status");
    tcase_add_checked_fixture(t, world_make, world_destroy);
    tcase_add_test(t, the_status_is_the_contracts);
    tcase_add_test(t, a_brokers_words_can_not_take_the_status_away);
    tcase_add_test(t, the_agent_answers_on_a_socket_of_its_own_user);
    tcase_add_test(t, a_dead_agents_socket_is_no_obstacle);
    return run_suite(t, "status");
}
