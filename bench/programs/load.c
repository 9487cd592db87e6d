/* load: what a user's programs do with a way, timed.
 *
 *      bench_load WAY ADDRESS down|up BYTES
 *      bench_load WAY ADDRESS echo STREAMS SECONDS INTERVAL_MS down|up|none STALLED
 *
 * The second sends 64 bytes on each of STREAMS connections every INTERVAL_MS and times each answer,
 * with one more connection full of bytes meanwhile (or none), and STALLED ones that are full and
 * that nobody reads. One JSON object on stdout. A byte that comes back wrong ends it with 1.
 */
#include "wire.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define ECHO_BYTES 64
#define WARM_UP_US 1000000
#define STREAMS_MAX 1000
#define STALLED_MAX 16

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sleep_until(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s\n", what);
    exit(1);
}

/* ---- many bytes ---- */

static int bulk(const struct way *way, bool is_down, uint64_t count)
{
    char purpose[48];
    static uint8_t buffer[BUFFER_BYTES];
    struct wire wire;
    snprintf(purpose, sizeof purpose, "%s %llu", is_down ? "send" : "take",
             (unsigned long long)count);
    wire_open(&wire, way, purpose);
    uint64_t start = now_us(), done = 0;
    size_t n = 0;
    while (is_down && done < count && (n = wire_read(&wire, buffer, sizeof buffer)) > 0)
        done += n;
    while (!is_down && done < count) {
        n = count - done < sizeof buffer ? (size_t)(count - done) : sizeof buffer;
        if (!wire_write(&wire, buffer, n))
            break;
        done += n;
    }
    if (done != count || (!is_down && wire_read(&wire, buffer, 1) != 1))
        fail("bytes are missing");
    printf("{\"seconds\": %.6f}\n", (double)(now_us() - start) / 1e6);
    wire_close(&wire);
    return 0;
}

/* ---- keystrokes ---- */

struct plan {
    const struct way *way;
    uint64_t begin_us, end_us, interval_us; /* what is sent from `begin` on counts */
};

struct echo {
    const struct plan *plan;
    struct wire wire;
    pthread_t thread;
    uint32_t *rtts_us;
    size_t count, room;
};

static void note(struct echo *e, uint64_t rtt_us)
{
    if (e->count == e->room) {
        e->room = e->room ? e->room * 2 : 256;
        e->rtts_us = realloc(e->rtts_us, e->room * sizeof *e->rtts_us);
        if (!e->rtts_us)
            fail("no memory");
    }
    e->rtts_us[e->count++] = (uint32_t)rtt_us;
}

static void exchange(struct echo *e, uint32_t number)
{
    uint8_t out[ECHO_BYTES], in[ECHO_BYTES];
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(number * 31 + i * 7);
    if (!wire_write(&e->wire, out, sizeof out))
        fail("an echo's connection broke");
    for (size_t done = 0; done < sizeof in;) {
        size_t n = wire_read(&e->wire, in + done, sizeof in - done);
        if (n == 0)
            fail("an echo's connection ended");
        done += n;
    }
    if (memcmp(in, out, sizeof in) != 0)
        fail("an echo came back as something else");
}

static void *echo_run(void *argument)
{
    struct echo *e = argument;
    const struct plan *p = e->plan;
    /* Not all at once: people do not type in step. */
    uint64_t next = now_us() + (uint64_t)rand() % p->interval_us;
    for (uint32_t number = 0; next < p->end_us; number++) {
        sleep_until(next);
        uint64_t start = now_us();
        exchange(e, number);
        if (start >= p->begin_us)
            note(e, now_us() - start);
        next += p->interval_us;
        if (next < now_us()) /* late: the next one is no earlier than now */
            next = now_us();
    }
    return NULL;
}

/* ---- beside them ---- */

struct load {
    const struct plan *plan;
    bool is_down;
    struct wire wire;
    pthread_t thread;
    atomic_bool is_over;
    uint64_t bytes; /* from `begin` to `end` */
};

static void *load_run(void *argument)
{
    struct load *load = argument;
    uint8_t *buffer = calloc(1, BUFFER_BYTES);
    while (buffer && !atomic_load(&load->is_over)) {
        size_t n = BUFFER_BYTES;
        if (load->is_down)
            n = wire_read(&load->wire, buffer, BUFFER_BYTES);
        else if (!wire_write(&load->wire, buffer, BUFFER_BYTES))
            n = 0;
        if (n == 0 && !atomic_load(&load->is_over))
            fail("the bulk transfer broke");
        uint64_t now = now_us();
        if (now >= load->plan->begin_us && now < load->plan->end_us)
            load->bytes += n;
    }
    free(buffer);
    return NULL;
}

static void print_result(const struct echo *echoes, size_t streams, const struct load *load)
{
    const char *separator = "";
    printf("{\"rtts_us\": [");
    for (size_t i = 0; i < streams; i++)
        for (size_t k = 0; k < echoes[i].count; k++, separator = ",")
            printf("%s%u", separator, echoes[i].rtts_us[k]);
    const struct plan *p = load->plan;
    printf("], \"bulk_bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)load->bytes,
           (double)(p->end_us - p->begin_us) / 1e6);
    fflush(stdout);
}

struct echo_arguments {
    size_t streams, stalled;
    double seconds;
    uint64_t interval_us;
    const char *bulk;
};

static int echo(const struct way *way, const struct echo_arguments *a)
{
    static struct wire stalled[STALLED_MAX];
    struct echo *echoes = calloc(a->streams ? a->streams : 1, sizeof *echoes);
    struct load load = {.is_down = strcmp(a->bulk, "down") == 0};
    bool has_bulk = strcmp(a->bulk, "none") != 0;
    if (!echoes)
        fail("no memory");
    for (size_t i = 0; i < a->stalled; i++)
        wire_open(&stalled[i], way, "flood");
    for (size_t i = 0; i < a->streams; i++)
        wire_open(&echoes[i].wire, way, "echo");
    if (has_bulk)
        wire_open(&load.wire, way, load.is_down ? "flood" : "drain");
    uint64_t begin = now_us() + WARM_UP_US;
    struct plan plan = {way, begin, begin + (uint64_t)(a->seconds * 1e6), a->interval_us};
    load.plan = &plan;
    if (has_bulk)
        pthread_create(&load.thread, NULL, load_run, &load);
    for (size_t i = 0; i < a->streams; i++) {
        echoes[i].plan = &plan;
        pthread_create(&echoes[i].thread, NULL, echo_run, &echoes[i]);
    }
    sleep_until(plan.end_us);
    for (size_t i = 0; i < a->streams; i++)
        pthread_join(echoes[i].thread, NULL);
    atomic_store(&load.is_over, true);
    if (has_bulk) {
        wire_cut(&load.wire);
        pthread_join(load.thread, NULL);
    }
    print_result(echoes, a->streams, &load);
    return 0; /* the process's end closes what is open, and frees */
}

static int usage(void)
{
    fputs("usage: bench_load tcp|tls|connect ADDRESS down|up BYTES\n"
          "       bench_load tcp|tls|connect ADDRESS echo STREAMS SECONDS INTERVAL_MS "
          "down|up|none STALLED\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct way way;
    signal(SIGPIPE, SIG_IGN);
    if (argc != 5 && argc != 9)
        return usage();
    way_open(&way, argv[1], argv[2]);
    if (argc == 5)
        return bulk(&way, strcmp(argv[3], "down") == 0, strtoull(argv[4], NULL, 10));
    struct echo_arguments a = {
        .streams = strtoul(argv[4], NULL, 10),
        .seconds = strtod(argv[5], NULL),
        .interval_us = (uint64_t)(strtod(argv[6], NULL) * 1000),
        .bulk = argv[7],
        .stalled = strtoul(argv[8], NULL, 10),
    };
    if (a.streams > STREAMS_MAX || a.stalled > STALLED_MAX || a.interval_us == 0)
        return usage();
    return echo(&way, &a);
}
