/* Requests of an SFTP client: no crash, whatever they are, and nothing outside the directory that
 * the server was given. One input is a row of packets, each behind a 16-bit length. */
#include "sftp/sftp.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536 /* a write far behind a file's end is not to fill the disk */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char scratch[] = "/tmp/rl-sftp-fuzz-XXXXXX";
static int scratch_fd = -1;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

/* What the requests made stays a few small files; the directory itself is the last. */
static void remove_scratch(void)
{
    if (nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        perror(scratch);
}

static void prepare(void)
{
    struct rlimit file = {FILE_BYTES_MAX, FILE_BYTES_MAX};
    if (scratch_fd >= 0)
        return;
    if (!mkdtemp(scratch))
        abort();
    atexit(remove_scratch);
    scratch_fd = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &file);
    mkdirat(scratch_fd, "d", 0777);
    if (symlinkat("/", scratch_fd, "l") != 0 && errno != EEXIST)
        abort();
    close(openat(scratch_fd, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
}

static void nothing(void *ctx, const struct rl_sftp_operation *operation)
{
    (void)ctx;
    (void)operation;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    prepare();
    const struct rl_sftp_config config = {
        .in = -1, .out = -1, .root_fd = scratch_fd, .home = "/d", .tell = nothing};
    struct rl_sftp_server *s = rl_sftp_create(&config);
    struct rl_cursor c = rl_cursor_of(RL_SPAN(data, size));
    struct rl_buf out;
    struct rl_error err;
    rl_buf_init(&out, RL_SFTP_REPLY_BYTES_MAX);
    rl_code rc = RL_OK;
    while (rc == RL_OK && c.n && !c.failed) {
        struct rl_span one = rl_cursor_bytes(&c, rl_cursor_u16(&c));
        out.n = 0;
        if (!c.failed)
            rc = rl_sftp_request(s, one, &out, &err);
    }
    rl_buf_fini(&out);
    rl_sftp_free(&s);
    return 0;
}
