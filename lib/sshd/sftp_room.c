/* sftp_room: the SFTP server of a session, under the user's id, in place of a program that the
 * device would have to have. stdin and stdout are the client's; what it does it tells the monitor.
 */
#include "sshd/sshd.h"
#include "sshd/wire.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sftp/sftp.h"

struct teller {
    struct rl_wire_message message;
    bool is_heard;
};

static void tell(void *ctx, const struct rl_sftp_operation *o)
{
    struct teller *t = ctx;
    struct rl_buf *b = &t->message.body;
    if (!t->is_heard)
        return;
    rl_wire_begin(&t->message, RL_WIRE_FILE);
    rl_buf_put_u8(b, (uint8_t)o->kind);
    rl_buf_put_u32(b, (uint32_t)o->error);
    rl_buf_put_u64(b, o->bytes_read);
    rl_buf_put_u64(b, o->bytes_written);
    rl_buf_put_string(b, rl_span_of(o->path));
    rl_buf_put_string(b, rl_span_of(o->target));
    /* It waits for a monitor that is busy; one that is gone has hung this process up. */
    t->is_heard = rl_wire_send(RL_ROOM_FD_FIRST, &t->message);
}

/* argv: name, home. */
int rl_sshd_sftp_main(int argc, char **argv)
{
    struct teller t = {.is_heard = true};
    struct rl_error err;
    if (argc != 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    /* The user's other processes are not to look into this one or speak for it. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    rl_wire_init(&t.message);
    const struct rl_sftp_config config = {.in = STDIN_FILENO,
                                          .out = STDOUT_FILENO,
                                          .root_fd = -1,
                                          .home = argv[1],
                                          .ctx = &t,
                                          .tell = tell};
    rl_code rc = rl_sftp_serve(&config, &err);
    rl_wire_fini(&t.message);
    if (rc == RL_E_INVAL)
        dprintf(STDERR_FILENO, "%s\n", err.message);
    return rc == RL_OK ? 0 : 1;
}
