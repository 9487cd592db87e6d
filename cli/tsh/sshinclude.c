/* sshinclude: the one line that tsh puts into the user's own ~/.ssh/config. An Include after a Host
 * block is dead, so it goes first; the marker tells our line from the user's.
 */
#include "file/file.h"
#include "sshconfig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USER_CONFIG_BYTES_MAX (4u << 20)
#define MARK " # remoteler"

/* The file itself where ~/.ssh/config is a link to it: the link stays. Heap text. */
static rl_code user_config_path(char **out, struct rl_error *err)
{
    const struct passwd *me = getpwuid(getuid());
    if (!me || !me->pw_dir)
        return rl_fail(err, RL_E_NOT_FOUND, "you have no home directory for ~/.ssh/config");
    char *dir = rl_sprintf("%s/.ssh", me->pw_dir);
    char *path = rl_sprintf("%s/config", dir);
    char real[PATH_MAX];
    rl_code rc = RL_OK;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "making %s", dir);
    else
        *out = rl_strdup(realpath(path, real) ? real : path);
    free(dir);
    free(path);
    return rc;
}

static bool is_ours(const char *line, size_t n, const char *include)
{
    return n == strlen(include) && memcmp(line, include, n) == 0;
}

/* The user's text without our line, ours in front when it is wanted. */
static void rewrite(const char *text, const char *include, bool wanted, struct rl_buf *out)
{
    if (wanted)
        rl_buf_printf(out, "%s\n", include);
    while (*text) {
        size_t n = strcspn(text, "\n");
        size_t with_end = n + (text[n] == '\n');
        if (!is_ours(text, n, include))
            rl_buf_put(out, text, with_end);
        text += with_end;
    }
}

/* Beside the file, with its mode and owner, then in its place. */
static rl_code replace(const char *path, struct rl_span content, const struct stat *old,
                       struct rl_error *err)
{
    char *fresh = rl_sprintf("%s.%d.new", path, (int)getpid());
    rl_code rc = RL_OK;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || (content.n && write(fd, content.p, content.n) != (ssize_t)content.n) ||
        (old &&
         (fchown(fd, old->st_uid, old->st_gid) != 0 || fchmod(fd, old->st_mode & 07777) != 0)) ||
        fsync(fd) != 0 || rename(fresh, path) != 0) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "writing %s (use --no-ssh-config and ssh -F)",
                           path);
        if (fd >= 0)
            unlink(fresh);
    }
    if (fd >= 0)
        close(fd);
    free(fresh);
    return rc;
}

rl_code tsh_sshconfig_include(const char *home, bool wanted, struct rl_error *err)
{
    char *path = NULL;
    struct stat st;
    struct rl_buf old, fresh;
    rl_buf_init(&old, USER_CONFIG_BYTES_MAX);
    rl_buf_init(&fresh, USER_CONFIG_BYTES_MAX + PATH_MAX);
    char *include = rl_sprintf("Include \"%s/ssh_config\"" MARK, home);
    rl_code rc = user_config_path(&path, err);
    bool exists = rc == RL_OK && stat(path, &st) == 0;
    if (exists)
        rc = rl_file_read(path, &old, err);
    if (rc == RL_OK && (exists || wanted)) {
        rewrite(rl_buf_text(&old), include, wanted, &fresh);
        if (!rl_span_equal(rl_buf_span(&old), rl_buf_span(&fresh)))
            rc = replace(path, rl_buf_span(&fresh), exists ? &st : NULL, err);
    }
    free(include);
    free(path);
    rl_buf_fini(&old);
    rl_buf_fini(&fresh);
    return rc;
}
