#include "sshd/monitor.h"

#include <check.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

static int master, terminal;
static struct termios before, after;

static void enter(void)
{
    ck_assert_int_eq(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    ck_assert_int_eq(tcgetattr(terminal, &before), 0);
}

static void leave(void)
{
    close(master);
    close(terminal);
}

static void apply(const char *modes, size_t n)
{
    rl_modes_apply(terminal, RL_SPAN(modes, n));
    ck_assert_int_eq(tcgetattr(terminal, &after), 0);
}

START_TEST(sets_characters_and_flags_as_the_client_has_them)
{
    static const char modes[] = "\1\0\0\0\7"     /* VINTR: Ctrl-G */
                                "\2\0\0\0\377"   /* VQUIT: none */
                                "\65\0\0\0\0"    /* ECHO off */
                                "\46\0\0\0\0"    /* IXON off */
                                "\52\0\0\0\1"    /* IUTF8 on */
                                "\200\0\0\226\0" /* a speed, which a pseudo terminal has not */
                                "\0";
    apply(modes, sizeof modes - 1);
    ck_assert_int_eq(after.c_cc[VINTR], 7);
    ck_assert_int_eq(after.c_cc[VQUIT], _POSIX_VDISABLE);
    ck_assert(!(after.c_lflag & ECHO));
    ck_assert(!(after.c_iflag & IXON));
    ck_assert(after.c_iflag & IUTF8);
    ck_assert(after.c_lflag & ICANON);
}
END_TEST

START_TEST(without_modes_a_terminal_stays_as_it_is)
{
    apply("", 0);
    ck_assert_mem_eq(&before, &after, sizeof before);
    apply("\0\1\0\0\0\7", 6); /* what stands behind the end */
    ck_assert_mem_eq(&before, &after, sizeof before);
}
END_TEST

START_TEST(what_is_cut_or_unknown_is_left_out_and_what_came_before_holds)
{
    apply("\1\0\0\0\7\65\0\0", 8);
    ck_assert_int_eq(after.c_cc[VINTR], 7);
    ck_assert(after.c_lflag & ECHO);
    apply("\144\0\0\0\1\1\0\0\0\10", 10); /* 100 is nothing; its argument is known */
    ck_assert_int_eq(after.c_cc[VINTR], 8);
    apply("\240\1\0\0\0\11", 6); /* from 160 on nobody knows how long it is */
    ck_assert_int_eq(after.c_cc[VINTR], 8);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("modes");
    tcase_add_checked_fixture(t, enter, leave);
    tcase_add_test(t, sets_characters_and_flags_as_the_client_has_them);
    tcase_add_test(t, without_modes_a_terminal_stays_as_it_is);
    tcase_add_test(t, what_is_cut_or_unknown_is_left_out_and_what_came_before_holds);
    Suite *s = suite_create("modes");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
