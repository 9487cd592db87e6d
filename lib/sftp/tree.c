/* tree: names in directories: made, removed, renamed, linked, and where they lead. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODE_BITS 07777u
#define MODE_DIRECTORY 0777u

/* ---- one name ---- */

/* Does something to one name; errno, or 0. */
typedef int name_action(const struct place *place, mode_t mode);

static int remove_file(const struct place *place, mode_t mode)
{
    (void)mode;
    return unlinkat(place->dir, place->name, 0) == 0 ? 0 : errno;
}

static int remove_directory(const struct place *place, mode_t mode)
{
    (void)mode;
    return unlinkat(place->dir, place->name, AT_REMOVEDIR) == 0 ? 0 : errno;
}

static int make_directory(const struct place *place, mode_t mode)
{
    return mkdirat(place->dir, place->name, mode) == 0 ? 0 : errno;
}

static void act(struct rl_sftp_server *s, const char *path, enum rl_sftp_kind kind,
                name_action *action, mode_t mode)
{
    struct place place;
    bool found = rl_sftp_place_find(s, path, NO_FOLLOW, &place);
    int error = found ? action(&place, mode) : errno;
    rl_sftp_tell_place(s, kind, error, found ? &place : NULL, path, "");
    if (found)
        rl_sftp_place_close(&place);
    rl_sftp_reply_errno(s, error);
}

void rl_sftp_remove(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (path)
        act(s, path, RL_SFTP_REMOVE, remove_file, 0);
    free(path);
}

void rl_sftp_rmdir(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (path)
        act(s, path, RL_SFTP_RMDIR, remove_directory, 0);
    free(path);
}

void rl_sftp_mkdir(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct attributes a;
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    if (rl_sftp_read_attributes(c, &a))
        act(s, path, RL_SFTP_MKDIR, make_directory,
            (a.flags & ATTR_MODE ? a.mode : MODE_DIRECTORY) & MODE_BITS);
    else
        rl_sftp_reply_malformed(s);
    free(path);
}

/* ---- two names ---- */

/* From the first to the second; errno, or 0. */
typedef int pair_action(const struct place *from, const struct place *to);

static int rename_over(const struct place *from, const struct place *to)
{
    return renameat(from->dir, from->name, to->dir, to->name) == 0 ? 0 : errno;
}

/* Version 3 replaces nothing. Where the kernel or the file system cannot do that in one step, two
 * have to do. */
static int rename_to_new(const struct place *from, const struct place *to)
{
    if (renameat2(from->dir, from->name, to->dir, to->name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != ENOSYS && errno != EINVAL)
        return errno;
    struct stat st;
    if (fstatat(to->dir, to->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return EEXIST;
    return rename_over(from, to);
}

static int link_to(const struct place *from, const struct place *to)
{
    return linkat(from->dir, from->name, to->dir, to->name, 0) == 0 ? 0 : errno;
}

static void act_on_pair(struct rl_sftp_server *s, const char *from, const char *to,
                        enum rl_sftp_kind kind, pair_action *action)
{
    struct place places[2] = {{.dir = -1}, {.dir = -1}};
    bool found = rl_sftp_place_find(s, from, NO_FOLLOW, &places[0]) &&
                 rl_sftp_place_find(s, to, NO_FOLLOW, &places[1]);
    int error = found ? action(&places[0], &places[1]) : errno;
    char *target =
        found && s->config.tell ? rl_sftp_real_path(places[1].dir, places[1].name) : NULL;
    rl_sftp_tell_place(s, kind, error, found ? &places[0] : NULL, from, target ? target : to);
    free(target);
    rl_sftp_place_close(&places[0]);
    rl_sftp_place_close(&places[1]);
    rl_sftp_reply_errno(s, error);
}

/* Two paths as fields. False: has been answered, and neither is there. */
static bool read_pair(struct rl_sftp_server *s, struct rl_cursor *c, char **a, char **b)
{
    *a = rl_sftp_path_read(s, c);
    *b = *a ? rl_sftp_path_read(s, c) : NULL;
    if (*b)
        return true;
    free(*a);
    *a = NULL;
    return false;
}

static void pair_request(struct rl_sftp_server *s, struct rl_cursor *c, enum rl_sftp_kind kind,
                         pair_action *action)
{
    char *from, *to;
    if (!read_pair(s, c, &from, &to))
        return;
    act_on_pair(s, from, to, kind, action);
    free(from);
    free(to);
}

void rl_sftp_rename(struct rl_sftp_server *s, struct rl_cursor *c)
{
    pair_request(s, c, RL_SFTP_RENAME, rename_to_new);
}

void rl_sftp_posix_rename(struct rl_sftp_server *s, struct rl_cursor *c)
{
    pair_request(s, c, RL_SFTP_RENAME, rename_over);
}

void rl_sftp_hardlink(struct rl_sftp_server *s, struct rl_cursor *c)
{
    pair_request(s, c, RL_SFTP_HARDLINK, link_to);
}

/* The text first, then the link's own path: the draft has it the other way round, OpenSSH and all
 * that speak with it have it so. */
void rl_sftp_symlink(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *text, *path;
    struct place place;
    if (!read_pair(s, c, &text, &path))
        return;
    bool found = rl_sftp_place_find(s, path, NO_FOLLOW, &place);
    int error = 0;
    if (!found || symlinkat(text, place.dir, place.name) != 0)
        error = errno;
    rl_sftp_tell_place(s, RL_SFTP_SYMLINK, error, found ? &place : NULL, path, text);
    if (found)
        rl_sftp_place_close(&place);
    rl_sftp_reply_errno(s, error);
    free(text);
    free(path);
}

/* ---- where it leads ---- */

void rl_sftp_readlink(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    char target[RL_SFTP_PATH_BYTES_MAX];
    struct place place;
    if (!path)
        return;
    ssize_t n = -1;
    if (rl_sftp_place_find(s, path, NO_FOLLOW, &place)) {
        n = readlinkat(place.dir, place.name, target, sizeof target - 1);
        rl_sftp_place_close(&place);
    }
    free(path);
    if (n < 0) {
        rl_sftp_reply_errno(s, errno);
        return;
    }
    target[n] = '\0';
    rl_sftp_reply_name(s, target);
}

/* The last name need not be there: clients ask before they write. */
static void reply_real_path(struct rl_sftp_server *s, const char *path)
{
    struct place place;
    char *real = NULL;
    int error = 0;
    int fd = rl_sftp_place_open(s, path, FOLLOW);
    if (fd >= 0) {
        real = rl_sftp_real_path(fd, "");
        close(fd);
    } else if (errno == ENOENT && rl_sftp_place_find(s, path, FOLLOW, &place)) {
        real = rl_sftp_real_path(place.dir, place.name);
        rl_sftp_place_close(&place);
    } else {
        error = errno;
    }
    if (real)
        rl_sftp_reply_name(s, real);
    else
        rl_sftp_reply_errno(s, error);
    free(real);
}

void rl_sftp_realpath(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (path)
        reply_real_path(s, path);
    free(path);
}

/* "~", "~/x", "~user", "~user/x": heap text; NULL: there is no such user. */
static char *expand(const struct rl_sftp_server *s, const char *path)
{
    if (*path != '~')
        return rl_strdup(path);
    size_t n = strcspn(path + 1, "/");
    char *user = rl_sprintf("%.*s", (int)n, path + 1);
    char *home = *user ? rl_sftp_home_of(user) : rl_strdup(s->config.home ? s->config.home : ".");
    char *out = home ? rl_sprintf("%s%s", home, path + 1 + n) : NULL;
    free(user);
    free(home);
    return out;
}

void rl_sftp_expand_path(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    char *whole = expand(s, path);
    if (whole)
        reply_real_path(s, whole);
    else
        rl_sftp_reply_errno(s, ENOENT);
    free(whole);
    free(path);
}
