/* Wrong usage is found before anything is sent: with an identity file that is not there, a call
 * would end with 1 or 3, wrong usage ends with 2. */
#include "edit.h"
#include "run.h"
#include "tctl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 8

static void set_up(void)
{
    setenv("REMOTELER_IDENTITY_FILE", "/nonexistent/identity", 1);
    setenv("REMOTELER_AUTH_SERVER", "127.0.0.1:1", 1);
}

/* "users add alice --roles=a": the group by its first word, or one of the commands. */
static int run(const char *line)
{
    static const struct tctl_group *const groups[] = {&tctl_users,     &tctl_tokens, &tctl_nodes,
                                                      &tctl_inventory, &tctl_auth,   &tctl_audit,
                                                      &tctl_locks};
    static const struct {
        const char *name;
        const struct tctl_command *command;
    } commands[] = {{"status", &tctl_status}, {"get", &tctl_get}, {"create", &tctl_create},
                    {"edit", &tctl_edit},     {"rm", &tctl_rm},   {"lock", &tctl_lock}};
    char text[128], *argv[ARGUMENTS_MAX + 1] = {NULL}, *rest = NULL;
    int argc = 0;
    strcpy(text, line);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    for (size_t i = 0; i < RL_COUNT(groups); i++)
        if (strcmp(groups[i]->name, argv[0]) == 0)
            return tctl_run_group(groups[i], argc, argv);
    for (size_t i = 0; i < RL_COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[0]) == 0)
            return tctl_run(commands[i].command, argc, argv);
    ck_abort_msg("%s", line);
    return -1;
}

START_TEST(wrong_usage_is_two_before_anything_is_sent)
{
    static const char *const wrong[] = {
        "status --format=xml",
        "lock",
        "lock --user=alice --role=access",
        "lock --user=alice --ttl=soon",
        "lock --user=alice --format=xml",
        "locks",
        "locks rm",
        "audit verify --format=xml",
        "audit export --from=yesterday",
        "locks ls --format=xml",
        "users",
        "users fly",
        "users add",
        "users add alice",
        "users add alice --roles=a --format=xml",
        "users update alice",
        "users update alice --unlock --format=xml",
        "users reset alice --format=xml",
        "users rm",
        "users ls alice bob",
        "tokens add",
        "tokens add --type=node --format=xml",
        "tokens add --type=node --ttl=1s",
        "tokens add --type=node --uses=0",
        "tokens rm",
        "nodes ls --format=xml",
        "inventory ls --format=xml",
        "get",
        "get role --format=text",
        "get role --format=xml",
        "auth export",
        "auth export --type=service",
        "auth export --type=user --format=der",
        "audit search --from=yesterday",
        "audit search --to=tomorrow",
        "audit search --last=forever",
        "audit search --limit=0",
        "audit search --format=xml",
    };
    for (size_t i = 0; i < RL_COUNT(wrong); i++)
        ck_assert_msg(run(wrong[i]) == RL_EXIT_USAGE, "%s", wrong[i]);
}
END_TEST

START_TEST(right_usage_goes_on_to_the_identity)
{
    static const char *const right[] = {
        "status --format=json",
        "users add alice --roles=a,b --logins=x --traits=k=v",
        "users update alice --unlock",
        "tokens add --type=node,app --labels=a=b --labels=c=d",
        "get roles",
        "auth export --type=host --format=pem",
        "audit search --from=2026-01-01T00:00:00Z --last=1h",
    };
    for (size_t i = 0; i < RL_COUNT(right); i++)
        ck_assert_msg(run(right[i]) == RL_EXIT_FAILED, "%s", right[i]);
    unsetenv("REMOTELER_IDENTITY_FILE");
    ck_assert_int_eq(run("status"), RL_EXIT_LOGIN);
}
END_TEST

START_TEST(help_is_no_failure)
{
    ck_assert_int_eq(run("users --help"), RL_EXIT_DONE);
    ck_assert_int_eq(run("users add --help"), RL_EXIT_DONE);
    ck_assert_int_eq(run("status --help"), RL_EXIT_DONE);
}
END_TEST

static rl_code edit_with(const char *editor, struct rl_buf *after, char **path)
{
    unsetenv("VISUAL");
    setenv("EDITOR", editor, 1);
    rl_buf_init(after, 1024);
    return tctl_edit_copy(rl_span_of("a: 1\n"), after, path, NULL);
}

START_TEST(an_editor_changes_a_copy)
{
    struct rl_buf after;
    char *path = NULL;
    ck_assert_int_eq(edit_with("sed -i s/1/2/", &after, &path), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&after), "a: 2\n"));
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    rl_buf_fini(&after);
    ck_assert_int_eq(edit_with("true", &after, &path), RL_OK);
    ck_assert(rl_span_is(rl_buf_span(&after), "a: 1\n"));
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    rl_buf_fini(&after);
}
END_TEST

START_TEST(an_editor_that_fails_leaves_nothing)
{
    char dir[] = "/tmp/rl-edit-XXXXXX";
    struct rl_buf after;
    char *path = NULL;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("TMPDIR", dir, 1);
    ck_assert_int_eq(edit_with("false", &after, &path), RL_E_CANCELLED);
    ck_assert_int_eq(edit_with("/nonexistent/editor", &after, &path), RL_E_CANCELLED);
    ck_assert_ptr_null(path);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("command");
    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, wrong_usage_is_two_before_anything_is_sent);
    tcase_add_test(t, right_usage_goes_on_to_the_identity);
    tcase_add_test(t, help_is_no_failure);
    tcase_add_test(t, an_editor_changes_a_copy);
    tcase_add_test(t, an_editor_that_fails_leaves_nothing);
    return run_suite(t, "command");
}
