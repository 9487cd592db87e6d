/* sshinclude: the one line that tsh puts into the user's own ~/.ssh/config. An Include after a Host
 * block is dead, so it goes first; the marker tells our line from the user's.
 */
#include "file/file.h"
#include "sshconfig.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER_CONFIG_BYTES_MAX (4u << 20)
#define MARK " # remoteler"

/* The user's bytes without our line, ours in front when it is wanted. */
static void rewrite(struct rl_span text, const char *include, bool wanted, struct rl_buf *out)
{
    if (wanted)
        rl_buf_printf(out, "%s\n", include);
    while (text.n) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t line = end ? (size_t)(end - text.p) : text.n;
        size_t taken = end ? line + 1 : line;
        if (!rl_span_is(RL_SPAN(text.p, line), include))
            rl_buf_put(out, text.p, taken);
        text = RL_SPAN(text.p + taken, text.n - taken);
    }
}

static rl_code make_directory_of(const char *path, struct rl_error *err)
{
    char *dir = rl_strdup(path);
    char *slash = strrchr(dir, '/');
    rl_code rc = RL_OK;
    if (slash)
        *slash = '\0';
    if (slash && slash != dir && mkdir(dir, 0700) != 0 && errno != EEXIST)
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "making %s", dir);
    free(dir);
    return rc;
}

static rl_code rewrite_file(const char *path, const char *include, bool wanted,
                            struct rl_error *err)
{
    struct stat st;
    struct rl_buf old, fresh;
    rl_buf_init(&old, USER_CONFIG_BYTES_MAX);
    rl_buf_init(&fresh, USER_CONFIG_BYTES_MAX + PATH_MAX);
    bool exists = stat(path, &st) == 0;
    rl_code rc = exists ? rl_file_read(path, &old, err) : RL_OK;
    if (rc == RL_OK)
        rewrite(rl_buf_span(&old), include, wanted, &fresh);
    if (rc == RL_OK && fresh.failed)
        rc = rl_fail(err, RL_E_EXHAUSTED, "%s is too big for another line", path);
    if (rc == RL_OK && !rl_span_equal(rl_buf_span(&old), rl_buf_span(&fresh)))
        rc = rl_file_replace(path, rl_buf_span(&fresh), exists ? &st : NULL, err);
    rl_buf_fini(&old);
    rl_buf_fini(&fresh);
    return rc;
}

rl_code tsh_sshconfig_include_in(const char *user_config, const char *home, bool wanted,
                                 struct rl_error *err)
{
    char real[PATH_MAX];
    rl_code rc = tsh_sshconfig_check_path(home, err);
    if (rc == RL_OK && wanted)
        rc = make_directory_of(user_config, err);
    if (rc != RL_OK)
        return rc;
    /* The file itself where the user's is a link to it: the link stays. */
    const char *path = realpath(user_config, real) ? real : user_config;
    char *include = rl_sprintf("Include \"%s/ssh_config\"" MARK, home);
    rc = rewrite_file(path, include, wanted, err);
    if (rc != RL_OK)
        rl_error_prefix(err, "ssh needs a line there (or --no-ssh-config and ssh -F)");
    free(include);
    return rc;
}

rl_code tsh_sshconfig_include(const char *home, bool wanted, struct rl_error *err)
{
    const struct passwd *me = getpwuid(getuid());
    if (!me || !me->pw_dir)
        return rl_fail(err, RL_E_NOT_FOUND, "you have no home directory for ~/.ssh/config");
    char *path = rl_sprintf("%s/.ssh/config", me->pw_dir);
    rl_code rc = tsh_sshconfig_include_in(path, home, wanted, err);
    free(path);
    return rc;
}
