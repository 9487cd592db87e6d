/* directory: reading directories, so many names a reply: of 100,000 there is never more than one
 * reply's worth in memory. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 200 /* a reply's; with the longest names they fill half a packet */
#define LONG_NAME_BYTES 512

static DIR *open_directory(const struct rl_sftp_server *s, const char *path)
{
    struct place place;
    if (!rl_sftp_place_find(s, path, FOLLOW, &place))
        return NULL;
    int fd = openat(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rl_sftp_place_close(&place);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory && fd >= 0)
        close(fd);
    return directory;
}

static void tell_listed(struct rl_sftp_server *s, DIR *directory, int error, const char *asked)
{
    if (!s->config.tell)
        return;
    char *path = directory ? rl_sftp_real_path(dirfd(directory), "") : rl_strdup(asked);
    rl_sftp_tell(s, RL_SFTP_LIST, error, path, "");
    free(path);
}

void rl_sftp_opendir(struct rl_sftp_server *s, struct rl_cursor *c)
{
    char *path = rl_sftp_path_read(s, c);
    if (!path)
        return;
    struct handle *h = rl_sftp_handle_take(s);
    DIR *directory = h ? open_directory(s, path) : NULL;
    int error = directory ? 0 : errno;
    tell_listed(s, directory, error, path);
    free(path);
    if (directory) {
        h->directory = directory;
        rl_sftp_reply_handle(s, h);
        return;
    }
    if (h)
        rl_sftp_handle_close(s, h);
    rl_sftp_reply_errno(s, error);
}

static void put_entry(struct rl_buf *out, const char *name, const struct stat *st)
{
    char long_name[LONG_NAME_BYTES];
    rl_buf_put_string(out, rl_span_of(name));
    if (!st) { /* it may be listed and not looked at */
        rl_buf_put_string(out, rl_span_of(name));
        rl_buf_put_u32(out, 0);
        return;
    }
    rl_sftp_long_name(name, st, long_name, sizeof long_name);
    rl_buf_put_string(out, rl_span_of(long_name));
    rl_sftp_put_attributes(out, st);
}

static uint32_t put_entries(struct rl_buf *out, DIR *directory)
{
    uint32_t count = 0;
    const struct dirent *entry;
    while (count < NAMES_MAX && (entry = readdir(directory))) {
        struct stat st;
        bool has_stat = fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!has_stat && errno == ENOENT)
            continue; /* gone since */
        put_entry(out, entry->d_name, has_stat ? &st : NULL);
        count++;
    }
    return count;
}

void rl_sftp_readdir(struct rl_sftp_server *s, struct rl_cursor *c)
{
    struct handle *h = rl_sftp_handle_read(s, c);
    if (!h)
        return;
    if (!h->directory) {
        rl_sftp_reply_status(s, FX_FAILURE, "the handle is a file's");
        return;
    }
    size_t at = rl_sftp_begin(s, FXP_NAME);
    size_t count_at = s->out->n;
    rl_buf_put_u32(s->out, 0);
    uint32_t count = put_entries(s->out, h->directory);
    if (count == 0) {
        s->out->n = at;
        rl_sftp_reply_status(s, FX_EOF, "end of the directory");
        return;
    }
    size_t end = s->out->n;
    s->out->n = count_at;
    rl_buf_put_u32(s->out, count);
    s->out->n = end;
    rl_sftp_end(s, at);
}
