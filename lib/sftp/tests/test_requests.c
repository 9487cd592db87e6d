#include "sftp_client.h"

#include <pthread.h>
#include <sys/socket.h>

static struct rl_sftp_server *fresh(void)
{
    const struct rl_sftp_config config = {.in = -1, .out = -1, .root_fd = scratch_fd};
    return rl_sftp_create(&config);
}

static rl_code say(struct rl_sftp_server *s, const void *bytes, size_t n)
{
    struct rl_error err;
    rl_buf_clear(&reply);
    return rl_sftp_request(s, RL_SPAN(bytes, n), &reply, &err);
}

START_TEST(says_version_3_and_what_openssh_asks_for)
{
    static const char *const wanted[] = {"posix-rename@openssh.com", "statvfs@openssh.com",
                                         "fstatvfs@openssh.com",     "hardlink@openssh.com",
                                         "fsync@openssh.com",        "lsetstat@openssh.com",
                                         "limits@openssh.com",       "expand-path@openssh.com"};
    struct rl_sftp_server *s = fresh();
    ck_assert_int_eq(say(s, "\1\0\0\0\3", 5), RL_OK);
    for (size_t i = 0; i < RL_COUNT(wanted); i++)
        ck_assert_ptr_nonnull(memmem(reply.p, reply.n, wanted[i], strlen(wanted[i])));
    rl_sftp_free(&s);
}
END_TEST

START_TEST(ends_with_who_does_not_begin_with_a_version)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {{"", 0},         {"\1", 1},         {"\1\0\0\0\2", 5},
                 {"\1\0\0\0", 4}, {"\3\0\0\0\1", 5}, {"\20\0\0\0\1\0\0\0\1.", 10}};
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        struct rl_sftp_server *s = fresh();
        ck_assert_int_eq(say(s, cases[i].bytes, cases[i].n), RL_E_INVAL);
        rl_sftp_free(&s);
    }
    ck_assert_int_eq(say(server, "\1\0\0\0\3", 5), RL_E_INVAL);
}
END_TEST

START_TEST(what_it_does_not_know_is_unsupported)
{
    begin(99);
    ck_assert_uint_eq(status(), FX_OP_UNSUPPORTED);
    begin_extended("copy-everything@example.com");
    ck_assert_uint_eq(status(), FX_OP_UNSUPPORTED);
}
END_TEST

/* Each request, whole, in a form that does no harm. */
static void put_valid(uint8_t type, const struct name *h)
{
    begin(type);
    switch (type) {
    case FXP_OPEN:
        put_path("there/not");
        rl_buf_put_u32(&request, 1);
        rl_buf_put_u32(&request, 0);
        break;
    case FXP_CLOSE:
    case FXP_FSTAT:
    case FXP_READDIR:
        rl_buf_put_string(&request, RL_SPAN(h->bytes, 8));
        break;
    case FXP_READ:
        rl_buf_put_string(&request, RL_SPAN(h->bytes, 8));
        rl_buf_put_u64(&request, 0);
        rl_buf_put_u32(&request, 10);
        break;
    case FXP_WRITE:
        rl_buf_put_string(&request, RL_SPAN(h->bytes, 8));
        rl_buf_put_u64(&request, 0);
        put_path("text");
        break;
    case FXP_FSETSTAT:
        rl_buf_put_string(&request, RL_SPAN(h->bytes, 8));
        rl_buf_put_u32(&request, ATTR_MODE);
        rl_buf_put_u32(&request, 0600);
        break;
    case FXP_EXTENDED:
        put_path("posix-rename@openssh.com");
        put_path("not");
        put_path("there");
        break;
    default:
        put_path("not");
        put_path("there");
        rl_buf_put_u32(&request, 0);
    }
}

START_TEST(a_request_cut_anywhere_is_answered_and_does_nothing_else)
{
    static const uint8_t types[] = {
        FXP_OPEN,     FXP_CLOSE,   FXP_READ,     FXP_WRITE,   FXP_LSTAT,   FXP_FSTAT, FXP_SETSTAT,
        FXP_FSETSTAT, FXP_OPENDIR, FXP_READDIR,  FXP_REMOVE,  FXP_MKDIR,   FXP_RMDIR, FXP_REALPATH,
        FXP_STAT,     FXP_RENAME,  FXP_READLINK, FXP_SYMLINK, FXP_EXTENDED};
    struct name h;
    put_file("a", "unchanged");
    ck_assert_uint_eq(open_file("a", 3, &h), FX_OK);
    for (size_t i = 0; i < RL_COUNT(types); i++) {
        put_valid(types[i], &h);
        /* The type and the id are whole; of the rest, each length but the whole one. */
        size_t whole = request.n;
        for (size_t n = 5; n < whole; n++) {
            struct rl_error err;
            rl_buf_clear(&reply);
            ck_assert_int_eq(rl_sftp_request(server, RL_SPAN(request.p, n), &reply, &err), RL_OK);
            ck_assert_uint_gt(reply.n, 8);
        }
    }
    ck_assert_str_eq(file_text("a"), "unchanged");
}
END_TEST

START_TEST(a_handle_that_is_not_ours_is_refused)
{
    struct name h, other;
    put_file("a", "text");
    ck_assert_uint_eq(open_file("a", 1, &h), FX_OK);
    for (size_t i = 0; i < sizeof h.bytes; i++) {
        other = h;
        other.bytes[i] ^= 0x41;
        ck_assert_uint_eq(close_handle(&other), FX_FAILURE);
    }
    begin(FXP_CLOSE);
    put_path("abc");
    ck_assert_uint_eq(status(), FX_FAILURE);
    begin(FXP_CLOSE);
    put_path("a handle of more than eight bytes");
    ck_assert_uint_eq(status(), FX_FAILURE);
    ck_assert_uint_eq(close_handle(&h), FX_OK);
}
END_TEST

START_TEST(a_closed_handle_does_not_become_the_next_files)
{
    struct name first, second;
    uint32_t code;
    put_file("a", "one");
    put_file("b", "two");
    ck_assert_uint_eq(open_file("a", 1, &first), FX_OK);
    ck_assert_uint_eq(close_handle(&first), FX_OK);
    ck_assert_uint_eq(open_file("b", 1, &second), FX_OK);
    read_at(&first, 0, 10, &code);
    ck_assert_uint_eq(code, FX_FAILURE);
    ck_assert(rl_span_is(read_at(&second, 0, 10, &code), "two"));
}
END_TEST

START_TEST(too_many_handles_are_refused_until_one_is_closed)
{
    struct name h[RL_SFTP_HANDLES_MAX], more;
    put_file("a", "");
    for (size_t i = 0; i < RL_SFTP_HANDLES_MAX; i++)
        ck_assert_uint_eq(open_file("a", 1, &h[i]), FX_OK);
    ck_assert_uint_eq(open_file("a", 1, &more), FX_FAILURE);
    begin(FXP_OPENDIR);
    put_path("/");
    ck_assert_uint_eq(status(), FX_FAILURE);
    ck_assert_uint_eq(close_handle(&h[100]), FX_OK);
    ck_assert_uint_eq(open_file("a", 1, &more), FX_OK);
    ck_assert_uint_eq(open_file("a", 1, &h[100]), FX_FAILURE);
}
END_TEST

START_TEST(huge_lengths_and_offsets_ask_for_no_more_than_there_is)
{
    struct name h;
    uint32_t code;
    put_file("a", "0123456789");
    ck_assert_uint_eq(open_file("a", 3, &h), FX_OK);
    ck_assert_uint_eq(read_at(&h, 0, UINT32_MAX, &code).n, 10);
    ck_assert_uint_eq(read_at(&h, 4, UINT32_MAX, &code).n, 6);
    read_at(&h, 10, 1, &code);
    ck_assert_uint_eq(code, FX_EOF);
    read_at(&h, UINT64_MAX, 1, &code);
    ck_assert_uint_eq(code, FX_BAD_MESSAGE);
    ck_assert_uint_eq(write_at(&h, UINT64_MAX, "x"), FX_BAD_MESSAGE);
    read_at(&h, 0, 0, &code);
    ck_assert_uint_eq(code, FX_BAD_MESSAGE);
    ck_assert_str_eq(file_text("a"), "0123456789");
}
END_TEST

START_TEST(attributes_that_claim_more_than_was_sent_are_malformed)
{
    begin(FXP_SETSTAT);
    put_path("/");
    rl_buf_put_u32(&request, ATTR_EXTENDED);
    rl_buf_put_u32(&request, UINT32_MAX);
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
    begin(FXP_MKDIR);
    put_path("d");
    rl_buf_put_u32(&request, ATTR_SIZE | ATTR_OWNER);
    rl_buf_put_u64(&request, 1);
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
    ck_assert_int_ne(access(real("d"), F_OK), 0);
}
END_TEST

START_TEST(a_path_with_a_nul_or_too_long_is_refused)
{
    char *longest = rl_alloc(RL_SFTP_PATH_BYTES_MAX + 1);
    begin(FXP_MKDIR);
    rl_buf_put_string(&request, RL_SPAN("d\0e", 3));
    rl_buf_put_u32(&request, 0);
    ck_assert_uint_eq(status(), FX_BAD_MESSAGE);
    memset(longest, 'x', RL_SFTP_PATH_BYTES_MAX);
    ck_assert_uint_eq(one_path(FXP_MKDIR, longest), FX_BAD_MESSAGE);
    longest[RL_SFTP_PATH_BYTES_MAX - 1] = '\0';
    ck_assert_uint_eq(one_path(FXP_MKDIR, longest), FX_BAD_MESSAGE);
    longest[256] = '\0';
    ck_assert_uint_eq(one_path(FXP_MKDIR, longest), FX_BAD_MESSAGE);
    longest[255] = '\0';
    ck_assert_uint_eq(one_path(FXP_MKDIR, longest), FX_OK);
    free(longest);
}
END_TEST

/* ---- over streams ---- */

static int ends[2];
static rl_code served;

static void *serve(void *unused)
{
    (void)unused;
    struct rl_error err;
    const struct rl_sftp_config config = {
        .in = ends[1], .out = ends[1], .root_fd = scratch_fd, .home = "/"};
    served = rl_sftp_serve(&config, &err);
    shutdown(ends[1], SHUT_RDWR);
    return NULL;
}

static void with_server(void (*talk)(void))
{
    pthread_t thread;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
    talk();
    shutdown(ends[0], SHUT_WR);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    close(ends[0]);
    close(ends[1]);
}

static void send_bytes(const void *bytes, size_t n)
{
    ck_assert_int_eq(send(ends[0], bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

static uint8_t receive_type(void)
{
    uint8_t head[5];
    ck_assert_int_eq(recv(ends[0], head, 5, MSG_WAITALL), 5);
    size_t n = ((size_t)head[2] << 8 | head[3]) - 1;
    uint8_t rest[2048];
    ck_assert_int_eq(recv(ends[0], rest, n, MSG_WAITALL), (ssize_t)n);
    return head[4];
}

static const char hello[] = "\0\0\0\5\1\0\0\0\3";
static const char real_path[] = "\0\0\0\12\20\0\0\0\1\0\0\0\1.";

static void talk_byte_by_byte(void)
{
    for (size_t i = 0; i < sizeof hello - 1; i++)
        send_bytes(hello + i, 1);
    ck_assert_uint_eq(receive_type(), FXP_VERSION);
    for (size_t i = 0; i < sizeof real_path - 1; i++)
        send_bytes(real_path + i, 1);
    ck_assert_uint_eq(receive_type(), FXP_NAME);
}

static void talk_all_at_once(void)
{
    send_bytes(hello, sizeof hello - 1);
    for (int i = 0; i < 500; i++)
        send_bytes(real_path, sizeof real_path - 1);
    ck_assert_uint_eq(receive_type(), FXP_VERSION);
    for (int i = 0; i < 500; i++)
        ck_assert_uint_eq(receive_type(), FXP_NAME);
}

static void talk_of_nothing(void)
{
    send_bytes("\0\0\0\0", 4);
}

static void talk_too_long(void)
{
    send_bytes(hello, sizeof hello - 1);
    send_bytes("\0\4\0\1", 4);
}

static void talk_at_the_limit(void)
{
    static uint8_t packet[4 + RL_SFTP_PACKET_BYTES_MAX] = {0, 4, 0, 0, 99};
    send_bytes(hello, sizeof hello - 1);
    ck_assert_uint_eq(receive_type(), FXP_VERSION);
    size_t at = 0;
    while (at < sizeof packet)
        at += (size_t)send(ends[0], packet + at, sizeof packet - at, MSG_NOSIGNAL);
    ck_assert_uint_eq(receive_type(), FXP_STATUS);
}

static void talk_half(void)
{
    send_bytes(real_path, 6);
}

START_TEST(requests_may_come_in_any_pieces)
{
    with_server(talk_byte_by_byte);
    ck_assert_int_eq(served, RL_OK);
    with_server(talk_all_at_once);
    ck_assert_int_eq(served, RL_OK);
}
END_TEST

START_TEST(a_length_of_nothing_or_of_too_much_ends_it)
{
    with_server(talk_of_nothing);
    ck_assert_int_eq(served, RL_E_INVAL);
    with_server(talk_too_long);
    ck_assert_int_eq(served, RL_E_INVAL);
    with_server(talk_at_the_limit);
    ck_assert_int_eq(served, RL_OK);
    with_server(talk_half);
    ck_assert_int_eq(served, RL_E_UNAVAILABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sftp requests");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, says_version_3_and_what_openssh_asks_for);
    tcase_add_test(tests, ends_with_who_does_not_begin_with_a_version);
    tcase_add_test(tests, what_it_does_not_know_is_unsupported);
    tcase_add_test(tests, a_request_cut_anywhere_is_answered_and_does_nothing_else);
    tcase_add_test(tests, a_handle_that_is_not_ours_is_refused);
    tcase_add_test(tests, a_closed_handle_does_not_become_the_next_files);
    tcase_add_test(tests, too_many_handles_are_refused_until_one_is_closed);
    tcase_add_test(tests, huge_lengths_and_offsets_ask_for_no_more_than_there_is);
    tcase_add_test(tests, attributes_that_claim_more_than_was_sent_are_malformed);
    tcase_add_test(tests, a_path_with_a_nul_or_too_long_is_refused);
    tcase_add_test(tests, requests_may_come_in_any_pieces);
    tcase_add_test(tests, a_length_of_nothing_or_of_too_much_ends_it);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
