#include "prompt.h"

#include "home.h"

#include <pty.h>
#include <signal.h>
#include <sys/wait.h>

static int ask_without_terminal(void)
{
    struct rl_error err;
    struct rl_secret *secret = NULL;
    char *line = NULL;
    bool ok = setsid() > 0;
    ok = ok && tsh_prompt_secret("Password", "--password-file=FILE", &secret, &err) == RL_E_INVAL;
    ok = ok &&
         strcmp(err.message, "no terminal to ask for \"Password\"; use --password-file=FILE") == 0;
    ok = ok && tsh_prompt_line("Code", "--otp=CODE", &line, &err) == RL_E_INVAL;
    ok = ok && strcmp(err.message, "no terminal to ask for \"Code\"; use --otp=CODE") == 0;
    return ok ? 0 : 1;
}

/* Without a controlling terminal: in a session of its own. */
START_TEST(without_a_terminal_the_flag_is_named)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(ask_without_terminal());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* What the child at the other end of a terminal asks, and how it ended; the exit status says what
 * it got. */
struct dialogue {
    pid_t pid;
    int terminal;
    char shown[512];
};

static struct dialogue begin(int (*child)(void))
{
    struct dialogue d = {.shown = ""};
    d.pid = forkpty(&d.terminal, NULL, NULL, NULL);
    ck_assert_int_ge(d.pid, 0);
    if (d.pid == 0) {
        signal(SIGINT, SIG_DFL); /* Check's own handler kills the whole test */
        _exit(child());
    }
    return d;
}

static void wait_until_shown(struct dialogue *d, const char *text)
{
    size_t n = strlen(d->shown);
    while (!strstr(d->shown, text)) {
        ssize_t got = read(d->terminal, d->shown + n, sizeof d->shown - 1 - n);
        ck_assert_msg(got > 0, "\"%s\" came and then nothing", d->shown);
        n += (size_t)got;
        d->shown[n] = '\0';
    }
}

static bool echoes(const struct dialogue *d)
{
    struct termios now;
    ck_assert_int_eq(tcgetattr(d->terminal, &now), 0);
    return now.c_lflag & ECHO;
}

static int ask_password(void)
{
    struct rl_secret *secret = NULL;
    rl_code rc = tsh_prompt_secret("Password", "--x", &secret, NULL);
    bool is_it = rc == RL_OK && rl_span_is(rl_secret_reveal(secret), "hunter2");
    rl_secret_free(&secret);
    return is_it ? 0 : 1 + (int)rc;
}

START_TEST(a_password_is_asked_for_and_not_shown)
{
    int status;
    struct dialogue d = begin(ask_password);
    wait_until_shown(&d, "Password: ");
    ck_assert(!echoes(&d));
    ck_assert_int_eq(write(d.terminal, "hunter2\n", 8), 8);
    wait_until_shown(&d, "\n");
    ck_assert_ptr_null(strstr(d.shown, "hunter2"));
    ck_assert_int_eq(waitpid(d.pid, &status, 0), d.pid);
    ck_assert_int_eq(status, 0);
    close(d.terminal);
}
END_TEST

START_TEST(an_interrupted_question_leaves_a_terminal_that_shows_what_is_typed)
{
    int status;
    struct dialogue d = begin(ask_password);
    wait_until_shown(&d, "Password: ");
    ck_assert_int_eq(write(d.terminal, "hun", 3), 3);
    ck_assert_int_eq(kill(d.pid, SIGINT), 0);
    wait_until_shown(&d, "\n");
    ck_assert_int_eq(waitpid(d.pid, &status, 0), d.pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGINT);
    ck_assert(echoes(&d));
    close(d.terminal);
}
END_TEST

START_TEST(an_end_of_file_is_no_password)
{
    int status;
    struct dialogue d = begin(ask_password);
    wait_until_shown(&d, "Password: ");
    ck_assert_int_eq(write(d.terminal, "\x04", 1), 1);
    ck_assert_int_eq(waitpid(d.pid, &status, 0), d.pid);
    ck_assert_int_eq(WEXITSTATUS(status), 1 + RL_E_CANCELLED);
    close(d.terminal);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("prompt");
    tcase_add_test(t, without_a_terminal_the_flag_is_named);
    tcase_add_test(t, a_password_is_asked_for_and_not_shown);
    tcase_add_test(t, an_interrupted_question_leaves_a_terminal_that_shows_what_is_typed);
    tcase_add_test(t, an_end_of_file_is_no_password);
    return run_suite(t, "prompt");
}
