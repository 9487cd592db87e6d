/* What is written, signed or shaken hands over while memory is refused: each scenario is run again
 * and again, each time without another allocation (starve.h). A file is the old one or the new one
 * whole; a handshake is done on both sides or an error; a journal gives back what it had taken. */
#include "starve.h"

#include "enrol/directory.h"
#include "enrol/held.h"
#include "file/file.h"
#include "journal/journal.h"
#include "tls/tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOW_S 1800000000
#define CLUSTER "main"
#define UUID "0190c0de-0000-7000-8000-00000000000a"
#define STATE_NAME "state"
#define TURNS 20

static char folder[] = "/tmp/rl-memory-XXXXXX";
static const char old_text[] = "what was there before";
static char new_text[20000];

static char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int64_t now_s(void *context)
{
    (void)context;
    return NOW_S;
}

/* ---- a file ---- */

static void write_file(void *context)
{
    rl_file_write(context, rl_span_of(new_text), NULL);
}

/* One or the other whole; and the old one again, for the next that tries. */
static bool is_old_or_new(void *context)
{
    struct rl_buf found;
    rl_buf_init(&found, 65536);
    bool is_whole =
        rl_file_read(context, &found, NULL) == RL_OK &&
        (rl_span_is(rl_buf_span(&found), old_text) || rl_span_is(rl_buf_span(&found), new_text));
    rl_buf_fini(&found);
    return is_whole && rl_file_write(context, rl_span_of(old_text), NULL) == RL_OK;
}

/* ---- a party's state: keys, written into its directory and read again ---- */

static void begin_state(void *context)
{
    struct rl_directory *directory = NULL;
    struct rl_held *held = NULL;
    struct rl_buf packed;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    if (rl_directory_open(context, false, &directory, NULL) == RL_OK &&
        rl_held_begin("agent", &packed, NULL) == RL_OK &&
        rl_directory_write(directory, STATE_NAME, rl_buf_span(&packed), NULL) == RL_OK)
        rl_held_read(rl_buf_span(&packed), &held, NULL);
    rl_held_free(&held);
    rl_buf_fini(&packed);
    rl_directory_close(&directory);
}

/* There is one that was written before: it can be read, whichever it is. */
static bool is_state(void *context)
{
    struct rl_directory *directory = NULL;
    struct rl_held *held = NULL;
    struct rl_buf packed;
    rl_buf_init(&packed, RL_ENROL_STATE_BYTES_MAX);
    bool is_whole = rl_directory_open(context, false, &directory, NULL) == RL_OK &&
                    rl_directory_read(directory, STATE_NAME, RL_ENROL_STATE_BYTES_MAX, &packed,
                                      NULL) == RL_OK &&
                    rl_held_read(rl_buf_span(&packed), &held, NULL) == RL_OK;
    rl_held_free(&held);
    rl_buf_fini(&packed);
    rl_directory_close(&directory);
    return is_whole;
}

/* ---- a journal: audit is away, the process ends, the next one sends ---- */

struct sent {
    size_t count;
    bool is_known; /* all of them are events of ours */
};

static void take_event(void *context, Pb__Event **event)
{
    struct sent *sent = context;
    sent->count++;
    sent->is_known = sent->is_known && strncmp((*event)->session_id, "session-", 8) == 0;
    rl_event_free(event);
}

static size_t pending(void *context)
{
    return ((struct sent *)context)->count;
}

static int64_t now_ns(void *context)
{
    return now_s(context) * 1000000000;
}

static struct sent use_journal(const char *path, const char *session_id)
{
    struct sent sent = {0, true};
    struct rl_loop *loop = NULL;
    if (rl_loop_create(&loop, NULL) != RL_OK)
        return sent;
    const struct rl_journal_config config = {.loop = loop,
                                             .path = path,
                                             .send = take_event,
                                             .pending = pending,
                                             .now_ns = now_ns,
                                             .context = &sent};
    struct rl_journal *journal = rl_journal_open(&config);
    Pb__Event *event = session_id ? rl_event_create("session.start", "success", 1) : NULL;
    if (event) {
        rl_event_set(&event->session_id, session_id);
        rl_journal_event(journal, &event);
    }
    rl_journal_close(&journal);
    rl_loop_free(&loop);
    return sent;
}

static void write_journal(void *context)
{
    use_journal(context, "session-new");
}

/* What was in it before is there still: a start, and the end that nobody told. */
static bool has_the_first(void *context)
{
    struct sent sent = use_journal(context, NULL);
    bool is_whole = sent.count >= 1 && sent.is_known;
    unlink(context);
    use_journal(context, "session-first");
    return is_whole;
}

/* ---- certificates and a handshake ---- */

struct world {
    X509 *ca;
    EVP_PKEY *ca_key, *key;
    struct rl_tls_identity *own;
    struct rl_trust *trust;
    struct rl_tls_server *server;
    struct rl_tls_client *client;
};

static char cluster[] = CLUSTER;

static rl_code issue(const struct world *w, X509 **leaf)
{
    Pb__IdentityClaims claims = PB__IDENTITY_CLAIMS__INIT;
    claims.format = 1;
    claims.cluster = cluster;
    const struct rl_identity_request request = {.kind = RL_IDENTITY_SERVICE,
                                                .cluster = CLUSTER,
                                                .name = UUID,
                                                .service = "auth",
                                                .subject = w->key,
                                                .claims = &claims,
                                                .now_s = NOW_S,
                                                .ttl_s = 3600};
    return rl_identity_issue(&request, w->ca, w->ca_key, leaf, NULL);
}

static void issue_one(void *context)
{
    X509 *leaf = NULL;
    struct rl_buf der;
    rl_buf_init(&der, 65536);
    if (issue(context, &leaf) == RL_OK && rl_x509_to_der(leaf, &der, NULL) == RL_OK) {
        X509 *again = NULL;
        if (rl_x509_from_der(rl_buf_span(&der), &again, NULL) == RL_OK)
            RL_ASSERT(X509_cmp(leaf, again) == 0); /* never another than was signed */
        X509_free(again);
    }
    rl_buf_fini(&der);
    X509_free(leaf);
}

static void make_world(struct world *w)
{
    static const char *const alpn[] = {"h2", NULL};
    X509 *leaf = NULL;
    struct rl_buf ca, der;
    rl_buf_init(&ca, 65536);
    rl_buf_init(&der, 65536);
    RL_ASSERT(rl_identity_create_ca(RL_IDENTITY_SERVICE, CLUSTER, NOW_S, 86400, &w->ca, &w->ca_key,
                                    NULL) == RL_OK);
    RL_ASSERT(rl_key_generate_p256(&w->key, NULL) == RL_OK && issue(w, &leaf) == RL_OK);
    RL_ASSERT(rl_x509_to_der(w->ca, &ca, NULL) == RL_OK);
    RL_ASSERT(rl_x509_to_der(leaf, &der, NULL) == RL_OK);
    struct rl_span chain = rl_buf_span(&der);
    RL_ASSERT(rl_tls_identity_create(&chain, 1, w->key, &w->own, NULL) == RL_OK);
    w->trust = rl_trust_create(CLUSTER);
    RL_ASSERT(rl_trust_add(w->trust, RL_IDENTITY_SERVICE, CLUSTER, rl_buf_span(&ca), NULL) ==
              RL_OK);
    const struct rl_tls_server_config server = {.route = "test",
                                                .identity = w->own,
                                                .trust = w->trust,
                                                .client = RL_TLS_CLIENT_REQUIRED,
                                                .alpn = alpn,
                                                .now_s = now_s};
    const struct rl_tls_client_config client = {.identity = w->own,
                                                .trust = w->trust,
                                                .alpn = "h2",
                                                .peer_kind = RL_IDENTITY_SERVICE,
                                                .peer_service = "auth",
                                                .now_s = now_s};
    RL_ASSERT(rl_tls_server_create(&server, &w->server, NULL) == RL_OK);
    RL_ASSERT(rl_tls_client_create(&client, &w->client, NULL) == RL_OK);
    rl_buf_fini(&ca);
    rl_buf_fini(&der);
    X509_free(leaf);
}

static void turn(SSL *ssl, int fd, enum rl_tls_progress *progress)
{
    if (*progress == RL_TLS_DONE || *progress == RL_TLS_FAILED)
        return;
    *progress = rl_tls_handshake(ssl, NULL);
    if (*progress == RL_TLS_FAILED)
        shutdown(fd, SHUT_WR);
}

/* Whoever is let in is somebody. */
static void expect_peer(SSL *ssl, enum rl_tls_progress progress)
{
    struct rl_identity *peer = NULL;
    if (progress == RL_TLS_DONE && rl_tls_peer(ssl, &peer, NULL) == RL_OK)
        RL_ASSERT(peer && strcmp(peer->service, "auth") == 0);
    rl_identity_unref(&peer);
}

static void shake_hands(void *context)
{
    const struct world *w = context;
    SSL *server = NULL, *client = NULL;
    int fds[2];
    enum rl_tls_progress at_server = RL_TLS_WANT_READ, at_client = RL_TLS_WANT_READ;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    if (rl_tls_accept(w->server, fds[0], RL_SPAN(NULL, 0), NULL, &server, NULL) == RL_OK &&
        rl_tls_connect(w->client, fds[1], &client, NULL) == RL_OK) {
        for (int i = 0; i < TURNS; i++) {
            turn(client, fds[1], &at_client);
            turn(server, fds[0], &at_server);
        }
        expect_peer(server, at_server);
        expect_peer(client, at_client);
    }
    SSL_free(server);
    SSL_free(client);
    close(fds[0]);
    close(fds[1]);
}

static void free_world(struct world *w)
{
    rl_tls_server_unref(&w->server);
    rl_tls_client_unref(&w->client);
    rl_tls_identity_unref(&w->own);
    rl_trust_unref(&w->trust);
    EVP_PKEY_free(w->key);
    EVP_PKEY_free(w->ca_key);
    X509_free(w->ca);
}

/* ---- all of them ---- */

static unsigned run(const char *name, void (*scenario)(void *), bool (*is_whole)(void *),
                    void *context)
{
    scenario(context); /* libraries set themselves up at their first use */
    if (is_whole && !is_whole(context)) {
        fprintf(stderr, "%s: not even with all the memory\n", name);
        return 1;
    }
    const struct starve what = {name, scenario, is_whole, context};
    unsigned failures = starve(&what);
    printf("%s: %s\n", name, failures ? "FAILED" : "ok");
    return failures;
}

static void remove_all(void)
{
    if (chdir(folder) == 0 && system("rm -rf file journal state") != 0)
        perror(folder);
    rmdir(folder);
}

int main(void)
{
    struct world world = {0};
    unsigned failures = 0;
    memset(new_text, 'n', sizeof new_text - 1);
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    char *file = strdup(path_of("file")), *state = strdup(path_of("state"));
    char *journal = strdup(path_of("journal"));
    make_world(&world);
    if (rl_file_write(file, rl_span_of(old_text), NULL) != RL_OK)
        return 1;
    use_journal(journal, "session-first");
    failures += run("a file", write_file, is_old_or_new, file);
    failures += run("a party's state", begin_state, is_state, state);
    failures += run("a journal", write_journal, has_the_first, journal);
    failures += run("a certificate", issue_one, NULL, &world);
    failures += run("a handshake", shake_hands, NULL, &world);
    free_world(&world);
    free(file);
    free(state);
    free(journal);
    remove_all();
    return failures != 0;
}
