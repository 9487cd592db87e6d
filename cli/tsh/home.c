/* home: where tsh keeps everything. Whoever can write there can put keys and commands into the
 * user's ssh, so a place that others can write to is refused.
 */
#include "profile.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *home_path(void)
{
    const char *chosen = getenv("TSH_HOME");
    if (chosen && chosen[0] == '/')
        return rl_strdup(chosen);
    if (chosen && chosen[0]) { /* OpenSSH's configuration needs absolute paths */
        char *here = getcwd(NULL, 0);
        char *path = rl_sprintf("%s/%s", here ? here : "", chosen);
        free(here);
        return path;
    }
    const struct passwd *me = getpwuid(getuid());
    return me ? rl_sprintf("%s/.tsh", me->pw_dir) : NULL;
}

static rl_code check_home(const char *path, struct rl_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return rl_fail_errno(err, errno == ENOENT ? RL_E_NOT_FOUND : RL_E_INVAL, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return rl_fail(err, RL_E_INVAL, "%s is not a directory; set TSH_HOME to one", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return rl_fail(err, RL_E_DENIED,
                       "others can write to %s, so they could put keys there: chmod 700 it, or set "
                       "TSH_HOME to another directory",
                       path);
    return RL_OK;
}

rl_code tsh_home(bool create, char **out, struct rl_error *err)
{
    char *path = home_path();
    if (!path)
        return rl_fail(err, RL_E_INVAL, "you have no home directory; set TSH_HOME");
    if (create && mkdir(path, 0700) != 0 && errno != EEXIST) {
        rl_fail_errno(err, RL_E_INVAL, "making %s", path);
        free(path);
        return RL_E_INVAL;
    }
    rl_code rc = check_home(path, err);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in; run tsh login --proxy=HOST:PORT");
    if (rc == RL_OK)
        *out = path;
    else
        free(path);
    return rc;
}
