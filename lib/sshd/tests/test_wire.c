#include "sshd/connect.h"
#include "sshd/wire.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];
static struct rl_wire_message out, in;

static void open_pair(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    rl_wire_init(&out);
    rl_wire_init(&in);
}

static void close_pair(void)
{
    rl_wire_fini(&out);
    rl_wire_fini(&in);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

START_TEST(carries_fields_and_descriptors)
{
    rl_wire_begin(&out, RL_WIRE_START);
    rl_buf_put_u32(&out.body, 7);
    rl_buf_put_string(&out.body, rl_span_of("text"));
    out.fds[0] = ends[0];
    out.fds[1] = ends[1];
    out.fds_n = 2;
    ck_assert(rl_wire_send(ends[0], &out));
    ck_assert_int_eq(rl_wire_receive(ends[1], &in, MSG_DONTWAIT), RL_WIRE_GOT);
    ck_assert_int_eq(rl_wire_type(&in), RL_WIRE_START);
    struct rl_cursor c = rl_wire_fields(&in);
    char text[5];
    ck_assert_uint_eq(rl_cursor_u32(&c), 7);
    rl_wire_text(&c, text, sizeof text);
    ck_assert(rl_cursor_done(&c));
    ck_assert_str_eq(text, "text");
    ck_assert_uint_eq(in.fds_n, 2);
    ck_assert(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC);
    rl_wire_close_fds(&in);
    ck_assert_int_eq(rl_wire_receive(ends[1], &in, MSG_DONTWAIT), RL_WIRE_NOTHING_YET);
    close(ends[0]);
    ends[0] = -1;
    ck_assert_int_eq(rl_wire_receive(ends[1], &in, 0), RL_WIRE_CLOSED_BY_PEER);
}
END_TEST

START_TEST(a_message_that_is_too_long_is_broken)
{
    static uint8_t long_one[RL_WIRE_BYTES_MAX + 1] = {RL_WIRE_SIGN};
    for (size_t n = RL_WIRE_BYTES_MAX - 1; n <= RL_WIRE_BYTES_MAX + 1; n++) {
        ck_assert_int_eq(send(ends[0], long_one, n, 0), (ssize_t)n);
        ck_assert_int_eq(rl_wire_receive(ends[1], &in, 0),
                         n <= RL_WIRE_BYTES_MAX ? RL_WIRE_GOT : RL_WIRE_BROKEN);
    }
    rl_wire_begin(&out, RL_WIRE_SIGN);
    rl_buf_put(&out.body, long_one, RL_WIRE_BYTES_MAX);
    ck_assert(!rl_wire_send(ends[0], &out));
}
END_TEST

START_TEST(more_descriptors_than_fit_are_broken_and_closed)
{
    union {
        char bytes[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {(char[]){RL_WIRE_SIGN}, 1};
    struct msghdr h = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(4 * sizeof(int));
    memcpy(CMSG_DATA(c), (int[]){0, 1, 2, ends[0]}, 4 * sizeof(int));
    ck_assert_int_eq(sendmsg(ends[0], &h, 0), 1);
    int before = open("/dev/null", O_RDONLY);
    close(before);
    ck_assert_int_eq(rl_wire_receive(ends[1], &in, 0), RL_WIRE_BROKEN);
    int after = open("/dev/null", O_RDONLY);
    close(after);
    ck_assert_int_eq(before, after);
    ck_assert_uint_eq(in.fds_n, 0);
}
END_TEST

START_TEST(text_must_fit_and_have_no_nul)
{
    char text[4];
    struct rl_cursor c = rl_cursor_of(RL_SPAN("\0\0\0\3abc", 7));
    rl_wire_text(&c, text, sizeof text);
    ck_assert(!c.failed);
    c = rl_cursor_of(RL_SPAN("\0\0\0\4abcd", 8));
    rl_wire_text(&c, text, sizeof text);
    ck_assert(c.failed);
    ck_assert_str_eq(text, "");
    c = rl_cursor_of(RL_SPAN("\0\0\0\3a\0c", 7));
    rl_wire_text(&c, text, sizeof text);
    ck_assert(c.failed);
}
END_TEST

START_TEST(forwarding_does_not_reach_metadata_and_link_local_addresses)
{
    static const struct {
        const char *address;
        bool is_forbidden;
    } cases[] = {
        {"127.0.0.1", false},
        {"10.0.0.1", false},
        {"169.253.255.255", false},
        {"169.254.0.0", true},
        {"169.254.169.254", true},
        {"169.254.255.255", true},
        {"169.255.0.0", false},
        {"100.100.100.200", true},
        {"192.0.0.192", true},
        {"0.0.0.0", true},
        {"224.0.0.1", true},
        {"255.255.255.255", true},
        {"::1", false},
        {"2001:db8::1", false},
        {"fe80::1", true},
        {"febf::1", true},
        {"fec0::1", false},
        {"fd00::1", false},
        {"fd00:ec2::254", true},
        {"fd20:ce::254", true},
        {"::", true},
        {"ff02::1", true},
        {"::ffff:169.254.1.1", true},
        {"::ffff:10.0.0.1", false},
        {"64:ff9b::a9fe:a9fe", true},
        {"64:ff9b::a00:1", false},
        {"::169.254.169.254", true},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        bool is_v6 = strchr(cases[i].address, ':');
        void *to = is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr;
        ck_assert_int_eq(inet_pton(is_v6 ? AF_INET6 : AF_INET, cases[i].address, to), 1);
        const struct sockaddr *a =
            is_v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
        ck_assert_msg(rl_connect_is_forbidden(a) == cases[i].is_forbidden, "%s", cases[i].address);
    }
    struct sockaddr other = {.sa_family = AF_UNIX};
    ck_assert(rl_connect_is_forbidden(&other));
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("wire");
    tcase_add_checked_fixture(t, open_pair, close_pair);
    tcase_add_test(t, carries_fields_and_descriptors);
    tcase_add_test(t, a_message_that_is_too_long_is_broken);
    tcase_add_test(t, more_descriptors_than_fit_are_broken_and_closed);
    tcase_add_test(t, text_must_fit_and_have_no_nul);
    tcase_add_test(t, forwarding_does_not_reach_metadata_and_link_local_addresses);
    Suite *s = suite_create("wire");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
