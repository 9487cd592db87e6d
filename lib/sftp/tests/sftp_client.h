/* sftp_client: what the tests of the SFTP server share: a scratch directory as the server's root,
 * requests put together, replies taken apart. */
#ifndef RL_SFTP_TESTS_CLIENT_H
#define RL_SFTP_TESTS_CLIENT_H

#include "sftp/internal.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[64];
static int scratch_fd = -1;
static struct rl_sftp_server *server;
static struct rl_buf request, reply;

/* What the server told last, and how often it told anything. */
static struct {
    unsigned count;
    enum rl_sftp_kind kind;
    int error;
    char path[RL_SFTP_PATH_BYTES_MAX], target[RL_SFTP_PATH_BYTES_MAX];
    uint64_t bytes_read, bytes_written;
} told;

static void on_operation(void *ctx, const struct rl_sftp_operation *o)
{
    (void)ctx;
    told.count++;
    told.kind = o->kind;
    told.error = o->error;
    snprintf(told.path, sizeof told.path, "%s", o->path);
    snprintf(told.target, sizeof told.target, "%s", o->target);
    told.bytes_read = o->bytes_read;
    told.bytes_written = o->bytes_written;
}

static inline void begin(uint8_t type)
{
    rl_buf_clear(&request);
    rl_buf_put_u8(&request, type);
    if (type != FXP_INIT)
        rl_buf_put_u32(&request, 77);
}

static inline void put_path(const char *path)
{
    rl_buf_put_string(&request, rl_span_of(path));
}

/* Sends the request; the reply's type, with `*c` behind type and id. */
static inline uint8_t ask(struct rl_cursor *c)
{
    struct rl_error err;
    rl_buf_clear(&reply);
    ck_assert_int_eq(rl_sftp_request(server, rl_buf_span(&request), &reply, &err), RL_OK);
    *c = rl_cursor_of(rl_buf_span(&reply));
    ck_assert_uint_eq(rl_cursor_u32(c), c->n);
    uint8_t type = rl_cursor_u8(c);
    ck_assert_uint_eq(rl_cursor_u32(c), type == FXP_VERSION ? 3u : 77u);
    return type;
}

/* Sends a request that is answered by a status. */
static inline uint32_t status(void)
{
    struct rl_cursor c;
    ck_assert_uint_eq(ask(&c), FXP_STATUS);
    uint32_t code = rl_cursor_u32(&c);
    rl_cursor_string(&c);
    rl_cursor_string(&c);
    ck_assert(rl_cursor_done(&c));
    return code;
}

static inline void setup(void)
{
    /* In memory where that is: one test makes a hundred thousand files. */
    snprintf(scratch, sizeof scratch, "%s/rl-sftp-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    scratch_fd = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const struct rl_sftp_config config = {
        .in = -1, .out = -1, .root_fd = scratch_fd, .home = "/home", .tell = on_operation};
    server = rl_sftp_create(&config);
    rl_buf_init(&request, RL_SFTP_PACKET_BYTES_MAX + 1024);
    rl_buf_init(&reply, RL_SFTP_REPLY_BYTES_MAX);
    memset(&told, 0, sizeof told);
    struct rl_cursor c;
    begin(FXP_INIT);
    rl_buf_put_u32(&request, 3);
    ck_assert_uint_eq(ask(&c), FXP_VERSION);
}

static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void teardown(void)
{
    rl_sftp_free(&server);
    rl_buf_fini(&request);
    rl_buf_fini(&reply);
    close(scratch_fd);
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- requests ---- */

struct name {
    uint8_t bytes[8];
};

/* The handle, or the status where there is none. */
static inline uint32_t take_handle(struct name *h)
{
    struct rl_cursor c;
    if (ask(&c) == FXP_STATUS)
        return rl_cursor_u32(&c);
    struct rl_span s = rl_cursor_string(&c);
    ck_assert_uint_eq(s.n, sizeof h->bytes);
    memcpy(h->bytes, s.p, s.n);
    return FX_OK;
}

static inline uint32_t open_file(const char *path, uint32_t flags, struct name *h)
{
    begin(FXP_OPEN);
    put_path(path);
    rl_buf_put_u32(&request, flags);
    rl_buf_put_u32(&request, 0);
    return take_handle(h);
}

static inline void begin_handle(uint8_t type, const struct name *h)
{
    begin(type);
    rl_buf_put_string(&request, RL_SPAN(h->bytes, sizeof h->bytes));
}

static inline uint32_t close_handle(const struct name *h)
{
    begin_handle(FXP_CLOSE, h);
    return status();
}

static inline uint32_t write_at(const struct name *h, uint64_t offset, const char *text)
{
    begin_handle(FXP_WRITE, h);
    rl_buf_put_u64(&request, offset);
    put_path(text);
    return status();
}

/* The bytes, or an empty span with *code. */
static inline struct rl_span read_at(const struct name *h, uint64_t offset, uint32_t n,
                                     uint32_t *code)
{
    struct rl_cursor c;
    begin_handle(FXP_READ, h);
    rl_buf_put_u64(&request, offset);
    rl_buf_put_u32(&request, n);
    bool is_data = ask(&c) == FXP_DATA;
    *code = is_data ? FX_OK : rl_cursor_u32(&c);
    return is_data ? rl_cursor_string(&c) : RL_SPAN(NULL, 0);
}

static inline uint32_t one_path(uint8_t type, const char *path)
{
    begin(type);
    put_path(path);
    if (type == FXP_MKDIR)
        rl_buf_put_u32(&request, 0);
    return status();
}

static inline void begin_extended(const char *name)
{
    begin(FXP_EXTENDED);
    put_path(name);
}

static inline uint32_t two_paths(uint8_t type, const char *extension, const char *a, const char *b)
{
    begin(type);
    if (extension)
        put_path(extension);
    put_path(a);
    put_path(b);
    return status();
}

/* ---- the scratch directory, seen from outside ---- */

static inline const char *real(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static inline void put_file(const char *name, const char *text)
{
    FILE *f = fopen(real(name), "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static inline const char *file_text(const char *name)
{
    static char text[4096];
    FILE *f = fopen(real(name), "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f)
        fclose(f);
    return f ? text : NULL;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
