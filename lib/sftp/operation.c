/* operation: what was done to which file, for whoever writes it down. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

const char *rl_sftp_kind_name(enum rl_sftp_kind kind)
{
    static const char *const names[RL_SFTP_KINDS] = {
        [RL_SFTP_READ] = "read",         [RL_SFTP_WRITE] = "write",
        [RL_SFTP_LIST] = "list",         [RL_SFTP_REMOVE] = "remove",
        [RL_SFTP_RENAME] = "rename",     [RL_SFTP_MKDIR] = "mkdir",
        [RL_SFTP_RMDIR] = "rmdir",       [RL_SFTP_SYMLINK] = "symlink",
        [RL_SFTP_HARDLINK] = "hardlink", [RL_SFTP_SETSTAT] = "setstat",
    };
    return names[kind];
}

void rl_sftp_tell(struct rl_sftp_server *s, enum rl_sftp_kind kind, int error, const char *path,
                  const char *target)
{
    int kept = errno;
    const struct rl_sftp_operation operation = {
        .kind = kind, .error = error, .path = path, .target = target};
    if (s->config.tell)
        s->config.tell(s->config.ctx, &operation);
    errno = kept;
}

void rl_sftp_tell_place(struct rl_sftp_server *s, enum rl_sftp_kind kind, int error,
                        const struct place *place, const char *asked, const char *target)
{
    if (!s->config.tell)
        return;
    int kept = errno;
    char *path = place ? rl_sftp_real_path(place->dir, place->name) : rl_strdup(asked);
    rl_sftp_tell(s, kind, error, path, target);
    free(path);
    errno = kept;
}
