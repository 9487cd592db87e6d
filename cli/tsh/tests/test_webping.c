#include "webping.h"

#include "home.h"

#define PIN "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct rl_error err;

START_TEST(the_pin_is_read)
{
    char *pin = NULL;
    ck_assert_int_eq(
        tsh_webping_read("HTTP/1.1 200 OK\r\nX: y\r\n\r\n{\"ca_pin\": \"" PIN "\"}", &pin, &err),
        RL_OK);
    ck_assert_str_eq(pin, PIN);
    free(pin);
}
END_TEST

START_TEST(what_a_stranger_answers_instead_is_no_pin)
{
    static const char *const bad[] = {
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\n{\"ca_pin\": \"" PIN "\"}",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": 1}",
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"\"}",
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"" PIN " --insecure\"}",
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"sha256:$(id)\"}",
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"sha256:00\"}",
        "SSH-2.0-OpenSSH_9.2\r\n",
    };
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        char *pin = NULL;
        ck_assert_int_eq(tsh_webping_read(bad[i], &pin, &err), RL_E_UNAVAILABLE);
        ck_assert_ptr_null(pin);
    }
}
END_TEST

START_TEST(a_cluster_that_is_two_releases_away_is_told_apart)
{
    static const char newer[] =
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"" PIN "\", \"protocol\": 9, \"protocol_min\": 8}";
    static const char next[] =
        "HTTP/1.1 200 OK\r\n\r\n{\"ca_pin\": \"" PIN "\", \"protocol\": 2, \"protocol_min\": 1}";
    char *pin = NULL;
    ck_assert_int_eq(tsh_webping_read(newer, &pin, &err), RL_E_PRECONDITION);
    ck_assert_ptr_null(pin);
    ck_assert_str_eq(err.message, "the cluster speaks protocol 8 at least, and this program 1: "
                                  "upgrade this program");
    ck_assert_int_eq(tsh_webping_read(next, &pin, &err), RL_OK);
    free(pin);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("webping");
    tcase_add_test(t, the_pin_is_read);
    tcase_add_test(t, a_cluster_that_is_two_releases_away_is_told_apart);
    tcase_add_test(t, what_a_stranger_answers_instead_is_no_pin);
    return run_suite(t, "webping");
}
