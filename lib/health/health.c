/* health: three pages for whoever watches the service. The listener is meant for the inside: it
 * says nothing secret, takes only GET, and holds few connections for a short time.
 */
#include "health/health.h"

#include "health/metrics.h"
#include "names/names.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64u
#define CONNECTION_TIMEOUT_S 10u
#define CONNECTION_BYTES_MAX ((size_t)16 * 1024)
#define PAGE_BYTES_MAX (1024 * 1024)
#define BACKLOG 64
#define NEEDS_MAX 32

struct need {
    const char *name;
    bool met;
};

struct rl_health {
    struct MHD_Daemon *daemon;
    uint16_t port;
    pthread_mutex_t lock; /* of the needs */
    struct need needs[NEEDS_MAX];
    size_t needs_count;
    struct rl_metrics metrics;
};

/* ---- pages ---- */

static unsigned write_healthz(struct rl_health *health, struct rl_buf *page)
{
    (void)health;
    rl_buf_put_text(page, "ok\n");
    return MHD_HTTP_OK;
}

/* What is waited for, a line for each need. */
static void write_waiting(struct rl_health *health, struct rl_buf *page)
{
    pthread_mutex_lock(&health->lock);
    for (size_t i = 0; i < health->needs_count; i++)
        if (!health->needs[i].met)
            rl_buf_printf(page, "waiting for %s\n", health->needs[i].name);
    pthread_mutex_unlock(&health->lock);
}

static unsigned write_readyz(struct rl_health *health, struct rl_buf *page)
{
    write_waiting(health, page);
    if (page->n)
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    rl_buf_put_text(page, "ready\n");
    return MHD_HTTP_OK;
}

static unsigned write_metrics(struct rl_health *health, struct rl_buf *page)
{
    struct rl_buf waiting;
    rl_buf_init(&waiting, PAGE_BYTES_MAX);
    write_waiting(health, &waiting);
    rl_buf_printf(page,
                  "# HELP remoteler_ready Whether the service has what it needs, as /readyz.\n"
                  "# TYPE remoteler_ready gauge\nremoteler_ready %d\n",
                  waiting.n == 0);
    rl_buf_fini(&waiting);
    rl_metrics_write(&health->metrics, page);
    return MHD_HTTP_OK;
}

static unsigned write_not_found(struct rl_health *health, struct rl_buf *page)
{
    (void)health;
    rl_buf_put_text(page, "there are /healthz, /readyz and /metrics\n");
    return MHD_HTTP_NOT_FOUND;
}

static unsigned write_not_allowed(struct rl_health *health, struct rl_buf *page)
{
    (void)health;
    rl_buf_put_text(page, "GET only\n");
    return MHD_HTTP_METHOD_NOT_ALLOWED;
}

typedef unsigned (*page_fn)(struct rl_health *health, struct rl_buf *page);

static page_fn page_of(const char *method, const char *path)
{
    static const struct {
        const char *path;
        page_fn fn;
    } pages[] = {
        {"/healthz", write_healthz}, {"/readyz", write_readyz}, {"/metrics", write_metrics}};
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return write_not_allowed;
    for (size_t i = 0; i < RL_COUNT(pages); i++)
        if (strcmp(path, pages[i].path) == 0)
            return pages[i].fn;
    return write_not_found;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_bytes;
    (void)state;
    struct rl_buf page;
    rl_buf_init(&page, PAGE_BYTES_MAX);
    unsigned status = page_of(method, url)(context, &page);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page.n, page.p, MHD_RESPMEM_MUST_COPY);
    rl_buf_fini(&page);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            "text/plain; version=0.0.4; charset=utf-8");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_GET);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- the listener ---- */

static int listen_on(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static rl_code open_listener(const char *address, int *out, struct rl_error *err)
{
    char *host;
    uint16_t port;
    rl_code rc = rl_address_split(address, &host, &port, err);
    if (rc != RL_OK)
        return rc;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(host, service, &hints, &found);
    free(host);
    if (failure)
        return rl_fail(err, RL_E_UNAVAILABLE, "listening on %s for health: %s", address,
                       gai_strerror(failure));
    /* A name may stand for several replicas: the address that is this machine's counts. */
    int fd = -1;
    for (const struct addrinfo *at = found; fd < 0 && at; at = at->ai_next)
        fd = listen_on(at);
    if (fd < 0)
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "listening on %s for health", address);
    else
        *out = fd;
    freeaddrinfo(found);
    return rc;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage bound;
    socklen_t n = sizeof bound;
    char service[8] = "0";
    if (getsockname(fd, (struct sockaddr *)&bound, &n) == 0)
        getnameinfo((struct sockaddr *)&bound, n, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    return (uint16_t)strtoul(service, NULL, 10);
}

/* The daemon's thread takes no signals: they are the loop's. */
static struct MHD_Daemon *start_daemon(struct rl_health *health, int fd)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, health,
                         MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES_MAX, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

rl_code rl_health_start(const char *address, struct rl_health **out, struct rl_error *err)
{
    int fd = -1;
    rl_code rc = open_listener(address, &fd, err);
    if (rc != RL_OK)
        return rc;
    struct rl_health *health = rl_alloc(sizeof *health);
    pthread_mutex_init(&health->lock, NULL);
    rl_metrics_init(&health->metrics);
    rl_metric_set(rl_health_gauge(health, "remoteler_build_info", "Which version runs; always 1.",
                                  "version=\"" RL_VERSION "\""),
                  1);
    health->port = port_of(fd);
    health->daemon = start_daemon(health, fd);
    if (!health->daemon) {
        close(fd);
        rl_health_stop(&health);
        return rl_fail(err, RL_E_EXHAUSTED, "starting the health listener on %s", address);
    }
    *out = health;
    return RL_OK;
}

void rl_health_stop(struct rl_health **health)
{
    if (!health || !*health)
        return;
    if ((*health)->daemon)
        MHD_stop_daemon((*health)->daemon); /* closes the listener too */
    rl_metrics_fini(&(*health)->metrics);
    pthread_mutex_destroy(&(*health)->lock);
    free(*health);
    *health = NULL;
}

uint16_t rl_health_port(const struct rl_health *health)
{
    return health->port;
}

void rl_health_need(struct rl_health *health, const char *need, bool met)
{
    if (!health)
        return;
    pthread_mutex_lock(&health->lock);
    size_t i = 0;
    while (i < health->needs_count && strcmp(health->needs[i].name, need) != 0)
        i++;
    RL_ASSERT(i < NEEDS_MAX); /* they are literals of the program */
    health->needs[i] = (struct need){need, met};
    if (i == health->needs_count)
        health->needs_count++;
    pthread_mutex_unlock(&health->lock);
}

struct rl_metric *rl_health_counter(struct rl_health *h, const char *name, const char *help,
                                    const char *labels)
{
    return h ? rl_metrics_find(&h->metrics, "counter", name, help, labels) : NULL;
}

struct rl_metric *rl_health_gauge(struct rl_health *h, const char *name, const char *help,
                                  const char *labels)
{
    return h ? rl_metrics_find(&h->metrics, "gauge", name, help, labels) : NULL;
}
