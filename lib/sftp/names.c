/* names: of users and groups, for the long form of a listing. From the files alone: a static
 * program has no name service. Who is not in them is shown by number. */
#include "internal.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_BYTES 33
#define CACHED_MAX 32
#define RECENT_S ((int64_t)182 * 86400) /* ls -l shows the time of day for half a year */

struct cached {
    bool is_used;
    uint32_t id;
    char name[NAME_BYTES];
};

struct cache {
    struct cached entries[CACHED_MAX];
    size_t next;
};

static void find_user(uint32_t id, char name[NAME_BYTES])
{
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *entry;
    name[0] = '\0';
    while (file && (entry = fgetpwent(file))) {
        if (entry->pw_uid != id)
            continue;
        snprintf(name, NAME_BYTES, "%s", entry->pw_name);
        break;
    }
    if (file)
        fclose(file);
}

static void find_group(uint32_t id, char name[NAME_BYTES])
{
    FILE *file = fopen("/etc/group", "re");
    const struct group *entry;
    name[0] = '\0';
    while (file && (entry = fgetgrent(file))) {
        if (entry->gr_gid != id)
            continue;
        snprintf(name, NAME_BYTES, "%s", entry->gr_name);
        break;
    }
    if (file)
        fclose(file);
}

static const char *name_of(struct cache *cache, uint32_t id,
                           void (*find)(uint32_t id, char name[NAME_BYTES]))
{
    for (size_t i = 0; i < CACHED_MAX; i++)
        if (cache->entries[i].is_used && cache->entries[i].id == id)
            return cache->entries[i].name;
    struct cached *entry = &cache->entries[cache->next++ % CACHED_MAX];
    entry->is_used = true;
    entry->id = id;
    find(id, entry->name);
    return entry->name;
}

const char *rl_sftp_user_name(uint32_t id)
{
    static struct cache users;
    return name_of(&users, id, find_user);
}

const char *rl_sftp_group_name(uint32_t id)
{
    static struct cache groups;
    return name_of(&groups, id, find_group);
}

static const char *or_number(const char *name, uint32_t id, char number[NAME_BYTES])
{
    snprintf(number, NAME_BYTES, "%u", id);
    return *name ? name : number;
}

static void mode_text(mode_t mode, char out[11])
{
    static const char letters[] = "rwxrwxrwx";
    out[0] = S_ISDIR(mode)    ? 'd'
             : S_ISLNK(mode)  ? 'l'
             : S_ISCHR(mode)  ? 'c'
             : S_ISBLK(mode)  ? 'b'
             : S_ISFIFO(mode) ? 'p'
             : S_ISSOCK(mode) ? 's'
                              : '-';
    for (int i = 0; i < 9; i++)
        out[1 + i] = mode & (0400u >> i) ? letters[i] : '-';
    if (mode & S_ISUID)
        out[3] = out[3] == 'x' ? 's' : 'S';
    if (mode & S_ISGID)
        out[6] = out[6] == 'x' ? 's' : 'S';
    if (mode & S_ISVTX)
        out[9] = out[9] == 'x' ? 't' : 'T';
    out[10] = '\0';
}

static void time_text(time_t at, char *out, size_t size)
{
    struct tm local;
    int64_t age = (int64_t)time(NULL) - at;
    bool is_recent = age >= 0 && age < RECENT_S;
    if (!localtime_r(&at, &local))
        snprintf(out, size, "%lld", (long long)at);
    else if (is_recent)
        strftime(out, size, "%b %e %H:%M", &local);
    else
        strftime(out, size, "%b %e  %Y", &local);
}

void rl_sftp_long_name(const char *name, const struct stat *st, char *out, size_t size)
{
    char mode[11], when[64], uid[NAME_BYTES], gid[NAME_BYTES];
    mode_text(st->st_mode, mode);
    time_text(st->st_mtim.tv_sec, when, sizeof when);
    snprintf(out, size, "%s %4lu %-8s %-8s %8llu %s %s", mode, (unsigned long)st->st_nlink,
             or_number(rl_sftp_user_name(st->st_uid), st->st_uid, uid),
             or_number(rl_sftp_group_name(st->st_gid), st->st_gid, gid),
             (unsigned long long)st->st_size, when, name);
}

char *rl_sftp_home_of(const char *user)
{
    FILE *file = fopen("/etc/passwd", "re");
    const struct passwd *entry;
    char *home = NULL;
    while (file && !home && (entry = fgetpwent(file)))
        if (strcmp(entry->pw_name, user) == 0)
            home = rl_strdup(entry->pw_dir);
    if (file)
        fclose(file);
    return home;
}
