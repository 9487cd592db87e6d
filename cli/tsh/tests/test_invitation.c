#include "invitation.h"

#include "home.h"

static struct rl_error err;

static void check(const char *url, const char *proxy, const char *token, const char *pin)
{
    struct tsh_invitation invitation;
    ck_assert_msg(tsh_invitation_parse(url, &invitation, &err) == RL_OK, "%s", url);
    ck_assert_str_eq(invitation.proxy, proxy);
    ck_assert_str_eq(invitation.token, token);
    if (pin)
        ck_assert_str_eq(invitation.pin, pin);
    else
        ck_assert_ptr_null(invitation.pin);
    tsh_invitation_fini(&invitation);
    tsh_invitation_fini(&invitation);
}

START_TEST(an_invitation_is_taken_apart)
{
    check("https://root.example.com:3080/invite/abc", "root.example.com:3080", "abc", NULL);
    check("https://root.example.com/invite/abc", "root.example.com:443", "abc", NULL);
    check("https://[::1]:8443/invite/abc#sha256:00", "[::1]:8443", "abc", "sha256:00");
    check("https://a:1/invite/abc#", "a:1", "abc", NULL);
    check("https://a:1/invite/a/b#c#d", "a:1", "a/b", "c#d");
}
END_TEST

START_TEST(what_is_no_invitation_is_refused)
{
    static const char *const bad[] = {
        "",
        "https://",
        "http://a:1/invite/abc",
        "HTTPS://a:1/invite/abc",
        "https://a:1/invite/",
        "https://a:1/invite/#sha256:00",
        "https://a:1/login/abc",
        "https:///invite/abc",
        "https://user@evil:1/invite/abc",
        "https://a b/invite/abc",
        "https://a:1\r\nHost: x/invite/abc",
        "https://a;id/invite/abc",
        "https://a:99999/invite/abc",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        struct tsh_invitation invitation = {0};
        ck_assert_msg(tsh_invitation_parse(bad[i], &invitation, &err) == RL_E_INVAL, "%s", bad[i]);
        ck_assert_ptr_null(invitation.proxy);
    }
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("invitation");
    tcase_add_test(t, an_invitation_is_taken_apart);
    tcase_add_test(t, what_is_no_invitation_is_refused);
    return run_suite(t, "invitation");
}
