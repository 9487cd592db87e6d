#include "journal/outbox.h"

#include "file/file.h"
#include "journal/record.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define FILES 2

struct part {
    char *path;
    int fd; /* < 0: it can not be written */
    size_t bytes;
    uint64_t last;  /* the number of its last event; they count from 1 */
    bool is_synced; /* it outlives the machine, too */
};

struct rl_outbox {
    struct rl_outbox_config config;
    struct rl_timer *timer;
    pthread_mutex_t lock;
    Pb__Event *waiting[RL_EVENT_QUEUE_MAX]; /* a ring, while audit is not known */
    size_t first, count, dropped;
    struct rl_event_sender *sender;
    struct part parts[FILES];
    struct part *written; /* one of them; NULL: no files */
    uint64_t number;      /* of the last event */
    bool is_looking;      /* a look is on its way to the loop, or due */
    bool is_posted;
    bool is_in_trouble;
};

/* ---- the files; all with the lock ---- */

static void say_trouble(struct rl_outbox *outbox, const char *message)
{
    if (!outbox->is_in_trouble && outbox->config.trouble)
        outbox->config.trouble(outbox->config.context, message);
    outbox->is_in_trouble = true;
}

/* All up to this number are with audit, or were said to be lost. */
static uint64_t taken(const struct rl_outbox *outbox)
{
    size_t pending = outbox->sender ? rl_event_sender_pending(outbox->sender) : 0;
    return outbox->number - outbox->count - pending;
}

static void empty(struct rl_outbox *outbox, struct part *part)
{
    if (part->fd < 0 || part->bytes == 0 || taken(outbox) < part->last)
        return;
    if (ftruncate(part->fd, 0) == 0)
        part->bytes = 0;
}

static void take_turns(struct rl_outbox *outbox)
{
    struct part *other = &outbox->parts[outbox->written == &outbox->parts[0]];
    if (outbox->written->bytes < RL_OUTBOX_TURN_BYTES)
        return;
    empty(outbox, other);
    if (other->fd >= 0 && other->bytes == 0)
        outbox->written = other;
}

/* One write for a record: a process that is killed leaves it whole or not at all. */
static void append(struct rl_outbox *outbox, const Pb__Event *event)
{
    if (!outbox->written)
        return;
    take_turns(outbox);
    struct part *part = outbox->written;
    struct rl_buf record;
    rl_buf_init(&record, RL_OUTBOX_FILE_BYTES_MAX);
    record_put(&record, event);
    if (record.failed || part->bytes + record.n > RL_OUTBOX_FILE_BYTES_MAX) {
        say_trouble(outbox, "the files of events are full");
    } else if (part->fd < 0 || write(part->fd, record.p, record.n) != (ssize_t)record.n) {
        say_trouble(outbox, "the files of events can not be written");
        if (part->fd >= 0 && ftruncate(part->fd, (off_t)part->bytes) < 0) {
            close(part->fd); /* what came after half a record could not be read */
            part->fd = -1;
        }
    } else {
        part->bytes += record.n;
        part->last = outbox->number;
        part->is_synced = false;
    }
    rl_buf_fini(&record);
}

static void sync_part(struct rl_outbox *outbox, struct part *part)
{
    if (part->fd < 0 || part->is_synced)
        return;
    part->is_synced = fdatasync(part->fd) == 0;
    if (!part->is_synced)
        say_trouble(outbox, "the files of events can not be synced");
}

/* ---- what audit has taken ---- */

static void look(void *context)
{
    struct rl_outbox *outbox = context;
    pthread_mutex_lock(&outbox->lock);
    bool is_all_taken = taken(outbox) == outbox->number;
    for (int i = 0; outbox->written && i < FILES; i++) {
        empty(outbox, &outbox->parts[i]);
        if (outbox->parts[i].bytes)
            sync_part(outbox, &outbox->parts[i]);
    }
    if (is_all_taken)
        outbox->is_in_trouble = false;
    outbox->is_looking = !is_all_taken;
    pthread_mutex_unlock(&outbox->lock);
    if (!is_all_taken)
        rl_timer_arm(outbox->timer, RL_OUTBOX_LOOK_MS);
}

static void begin_looking(void *context)
{
    struct rl_outbox *outbox = context;
    rl_timer_arm(outbox->timer, RL_OUTBOX_LOOK_MS);
    pthread_mutex_lock(&outbox->lock);
    outbox->is_posted = false;
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- events; with the lock ---- */

static Pb__Event *take_first(struct rl_outbox *outbox)
{
    if (outbox->count == 0)
        return NULL;
    Pb__Event *event = outbox->waiting[outbox->first];
    outbox->first = (outbox->first + 1) % RL_EVENT_QUEUE_MAX;
    outbox->count--;
    return event;
}

static void pass_on(struct rl_outbox *outbox, Pb__Event **event)
{
    if (outbox->sender) {
        rl_event_send(outbox->sender, event);
        return;
    }
    if (outbox->count == RL_EVENT_QUEUE_MAX) {
        Pb__Event *oldest = take_first(outbox);
        rl_event_free(&oldest);
        outbox->dropped++;
    }
    outbox->waiting[(outbox->first + outbox->count++) % RL_EVENT_QUEUE_MAX] = *event;
    *event = NULL;
}

void rl_outbox_send(struct rl_outbox *outbox, Pb__Event **event)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->number++;
    append(outbox, *event);
    pass_on(outbox, event);
    bool is_first = outbox->timer && !outbox->is_looking;
    if (is_first)
        outbox->is_looking = outbox->is_posted = true;
    pthread_mutex_unlock(&outbox->lock);
    if (is_first) /* a timer is the loop's thread's */
        rl_loop_post(outbox->config.loop, begin_looking, outbox);
}

void rl_outbox_connect(struct rl_outbox *outbox, struct rl_event_sender *sender)
{
    pthread_mutex_lock(&outbox->lock);
    for (Pb__Event *event; (event = take_first(outbox));)
        rl_event_send(sender, &event);
    outbox->sender = sender;
    pthread_mutex_unlock(&outbox->lock);
}

Pb__Event *rl_outbox_next(struct rl_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    Pb__Event *event = take_first(outbox);
    pthread_mutex_unlock(&outbox->lock);
    return event;
}

size_t rl_outbox_dropped(struct rl_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    size_t dropped = outbox->dropped;
    pthread_mutex_unlock(&outbox->lock);
    return dropped;
}

/* ---- the process before ---- */

static void take_up(void *context, Pb__Event **event)
{
    struct rl_outbox *outbox = context;
    outbox->number++;
    pass_on(outbox, event);
}

/* Its lock is held until it is closed: of two processes with one path the second has no files. */
static bool open_part(struct rl_outbox *outbox, struct part *part)
{
    part->fd = open(part->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (part->fd < 0)
        say_trouble(outbox, "the files of events can not be opened for writing");
    else if (flock(part->fd, LOCK_EX | LOCK_NB) != 0)
        say_trouble(outbox, "another process uses the files of events");
    else
        return true;
    return false;
}

static bool read_part(struct rl_outbox *outbox, struct part *part)
{
    struct rl_buf content;
    struct rl_error err;
    rl_buf_init(&content, RL_OUTBOX_FILE_BYTES_MAX);
    bool is_read = rl_file_read(part->path, &content, &err) == RL_OK;
    if (!is_read)
        say_trouble(outbox, err.message);
    part->bytes = is_read ? records_read(rl_buf_span(&content), take_up, outbox) : 0;
    part->last = outbox->number;
    if (is_read && part->bytes < content.n) {
        say_trouble(outbox, "the end of a file of events is damaged and was left out");
        is_read = ftruncate(part->fd, (off_t)part->bytes) == 0;
    }
    rl_buf_fini(&content);
    return is_read;
}

static void open_parts(struct rl_outbox *outbox)
{
    for (int i = 0; i < FILES; i++) {
        struct part *part = &outbox->parts[i];
        part->path = rl_sprintf("%s.%d", outbox->config.path, i);
        if (!open_part(outbox, part) || !read_part(outbox, part))
            return;
    }
    outbox->written = &outbox->parts[outbox->parts[1].bytes < outbox->parts[0].bytes];
}

/* ---- life ---- */

struct rl_outbox *rl_outbox_open(const struct rl_outbox_config *config)
{
    struct rl_outbox *outbox = rl_alloc(sizeof *outbox);
    outbox->config = *config;
    outbox->parts[0].fd = outbox->parts[1].fd = -1;
    pthread_mutex_init(&outbox->lock, NULL);
    if (!config->loop)
        return outbox;
    outbox->timer = rl_timer_create(config->loop, look, outbox);
    if (config->path)
        open_parts(outbox);
    outbox->config.path = NULL; /* the caller's */
    if (outbox->number) {
        outbox->is_looking = true;
        rl_timer_arm(outbox->timer, RL_OUTBOX_LOOK_MS);
    }
    return outbox;
}

static void close_parts(struct rl_outbox *outbox)
{
    for (int i = 0; i < FILES; i++) {
        struct part *part = &outbox->parts[i];
        if (outbox->written)
            empty(outbox, part);
        if (part->fd >= 0)
            close(part->fd);
        free(part->path);
    }
}

void rl_outbox_close(struct rl_outbox **holder)
{
    struct rl_outbox *outbox = *holder;
    if (!outbox)
        return;
    *holder = NULL;
    while (outbox->is_posted) /* what is on its way names us */
        rl_loop_turn(outbox->config.loop, 0);
    close_parts(outbox);
    for (Pb__Event *event; (event = take_first(outbox));)
        rl_event_free(&event);
    rl_timer_free(&outbox->timer);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}
