#include "journal/journal.h"

#include "file/file.h"
#include "journal/open.h"
#include "journal/record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES_KEPT 65536 /* a file as small is left as it is while sessions are open */

struct rl_journal {
    struct rl_journal_config config;
    char *path; /* NULL: no file */
    int fd;     /* < 0: it can not be written */
    size_t bytes;
    size_t synced; /* of them: they outlive the machine, too */
    struct rl_timer *timer;
    struct open_sessions open;
    bool is_in_trouble;
};

/* ---- the file ---- */

static void say_trouble(struct rl_journal *journal, const char *message)
{
    if (!journal->is_in_trouble && journal->config.trouble)
        journal->config.trouble(journal->config.context, message);
    journal->is_in_trouble = true;
}

/* One write for a record: a process that is killed leaves it whole or not at all. */
static void append(struct rl_journal *journal, const Pb__Event *event)
{
    if (!journal->path)
        return;
    struct rl_buf record;
    rl_buf_init(&record, RL_JOURNAL_BYTES_MAX);
    record_put(&record, event);
    if (record.failed || journal->bytes + record.n > RL_JOURNAL_BYTES_MAX) {
        say_trouble(journal, "the journal of events is full");
    } else if (journal->fd < 0 || write(journal->fd, record.p, record.n) != (ssize_t)record.n) {
        say_trouble(journal, "the journal of events can not be written");
        if (journal->fd >= 0 && ftruncate(journal->fd, (off_t)journal->bytes) < 0) {
            close(journal->fd); /* what came after half a record could not be read */
            journal->fd = -1;
        }
    } else {
        journal->bytes += record.n;
    }
    rl_buf_fini(&record);
}

/* For appending, after its first `bytes`. */
static void open_file(struct rl_journal *journal, size_t bytes)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = open(journal->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    journal->bytes = bytes;
    journal->synced = 0;
    if (journal->fd < 0 || ftruncate(journal->fd, (off_t)bytes) < 0)
        say_trouble(journal, "the journal of events can not be opened for writing");
}

/* Audit has everything: only what began and did not end is worth keeping. */
static void shorten(struct rl_journal *journal)
{
    if (journal->open.count == 0) {
        if (journal->bytes && ftruncate(journal->fd, 0) == 0)
            journal->bytes = journal->synced = 0;
    } else if (journal->bytes > BYTES_KEPT) {
        struct rl_buf kept;
        rl_buf_init(&kept, RL_JOURNAL_BYTES_MAX);
        for (struct open_session *s = journal->open.first; s; s = s->next)
            record_put(&kept, s->start);
        if (!kept.failed && kept.n < journal->bytes &&
            rl_file_write(journal->path, rl_buf_span(&kept), NULL) == RL_OK)
            open_file(journal, kept.n);
        rl_buf_fini(&kept);
    }
    if (journal->fd >= 0 && journal->bytes < RL_JOURNAL_BYTES_MAX / 2)
        journal->is_in_trouble = false;
}

/* Audit has not taken it within a second: it is away, and the machine may go before it is back.
 * Whoever has no audit to wait for is not made to wait for a disk. */
static void sync_file(struct rl_journal *journal)
{
    if (journal->fd < 0 || journal->synced == journal->bytes)
        return;
    if (fdatasync(journal->fd) == 0)
        journal->synced = journal->bytes;
    else
        say_trouble(journal, "the journal of events can not be synced");
}

static void look(void *context)
{
    struct rl_journal *journal = context;
    if (journal->config.pending(journal->config.context) == 0) {
        shorten(journal);
    } else {
        sync_file(journal);
        rl_timer_arm(journal->timer, RL_JOURNAL_LOOK_MS);
    }
}

bool rl_journal_is_synced(const struct rl_journal *journal)
{
    return journal->synced == journal->bytes;
}

/* ---- events ---- */

/* What was read from the file is not written to it again. */
static void pass_on(struct rl_journal *journal, Pb__Event **event)
{
    open_sessions_see(&journal->open, *event);
    journal->config.send(journal->config.context, event);
    if (!rl_timer_is_armed(journal->timer))
        rl_timer_arm(journal->timer, RL_JOURNAL_LOOK_MS);
}

void rl_journal_event(struct rl_journal *journal, Pb__Event **event)
{
    append(journal, *event);
    pass_on(journal, event);
}

void rl_journal_session_gone(struct rl_journal *journal, const char *session_id, const char *reason)
{
    struct open_session *session;
    while ((session = open_sessions_find(&journal->open, session_id))) {
        int64_t now_ns = journal->config.now_ns(journal->config.context);
        Pb__Event *end = open_session_end(session, now_ns, reason);
        rl_journal_event(journal, &end);
    }
}

size_t rl_journal_open_sessions(const struct rl_journal *journal)
{
    return journal->open.count;
}

/* ---- the process before ---- */

static void take_up(void *context, Pb__Event **event)
{
    pass_on(context, event);
}

static void take_over(struct rl_journal *journal)
{
    struct rl_buf content;
    struct rl_error err;
    rl_buf_init(&content, RL_JOURNAL_BYTES_MAX);
    rl_code rc = rl_file_read(journal->path, &content, &err);
    size_t whole = rc == RL_OK ? records_read(rl_buf_span(&content), take_up, journal) : 0;
    if (rc == RL_OK && whole < content.n)
        say_trouble(journal, "the end of the journal of events is damaged and was left out");
    if (rc == RL_OK || rc == RL_E_NOT_FOUND)
        open_file(journal, whole);
    else
        say_trouble(journal, err.message);
    rl_buf_fini(&content);
}

struct rl_journal *rl_journal_open(const struct rl_journal_config *config)
{
    struct rl_journal *journal = rl_alloc(sizeof *journal);
    journal->config = *config;
    journal->path = config->path ? rl_strdup(config->path) : NULL;
    journal->fd = -1;
    journal->timer = rl_timer_create(config->loop, look, journal);
    if (journal->path)
        take_over(journal);
    rl_journal_session_gone(journal, NULL, "the agent ended before the session's end was known");
    return journal;
}

void rl_journal_close(struct rl_journal **holder)
{
    struct rl_journal *journal = *holder;
    if (!journal)
        return;
    *holder = NULL;
    if (journal->fd >= 0 && journal->config.pending(journal->config.context) == 0)
        shorten(journal);
    if (journal->fd >= 0)
        close(journal->fd);
    open_sessions_clear(&journal->open);
    rl_timer_free(&journal->timer);
    free(journal->path);
    free(journal);
}
