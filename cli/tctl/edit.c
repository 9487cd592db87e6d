#include "edit.h"

#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUFFIX ".yaml"

static const char *editor(void)
{
    static const char *const names[] = {"VISUAL", "EDITOR"};
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && value[0])
            return value;
    }
    return "vi";
}

/* EDITOR is a shell's word list by convention ("code -w"); the path is an argument of its own. */
static rl_code run(const char *path, struct rl_error *err)
{
    char *line = rl_sprintf("%s \"$1\"", editor());
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", line, "sh", path, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    free(line);
    if (status != 0)
        return rl_fail(err, RL_E_CANCELLED, "the editor %s ended with an error; nothing is changed",
                       editor());
    return RL_OK;
}

rl_code tctl_edit_copy(struct rl_span before, struct rl_buf *after, char **path,
                       struct rl_error *err)
{
    const char *dir = getenv("TMPDIR");
    char *copy = rl_sprintf("%s/tctl-edit-XXXXXX" SUFFIX, dir && dir[0] == '/' ? dir : "/tmp");
    int fd = mkostemps(copy, sizeof SUFFIX - 1, O_CLOEXEC);
    if (fd < 0) {
        rl_fail_errno(err, RL_E_UNAVAILABLE, "making a copy to edit in %s", copy);
        free(copy);
        return RL_E_UNAVAILABLE;
    }
    rl_code rc = rl_file_write_fd(fd, before)
                     ? RL_OK
                     : rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s", copy);
    close(fd);
    if (rc == RL_OK && (rc = run(copy, err)) == RL_OK &&
        (rc = rl_file_read(copy, after, err)) == RL_OK) {
        *path = copy;
        return RL_OK;
    }
    unlink(copy);
    free(copy);
    return rc;
}
