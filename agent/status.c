#include "status.h"

#include "bytes/encoding.h"
#include "output/output.h"
#include "output/value.h"
#include "policy_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES_MAX 65536

struct status_server {
    struct agent *agent;
    int fd;
    struct rl_watch *watch;
    char *path;
};

static json_t *audit_head_json(const struct agent *agent)
{
    struct policy_audit_head head = policy_keeper_audit_head(agent->policy);
    if (!head.number)
        return json_null();
    char *hex = rl_hex_encode(RL_SPAN(head.sha256, sizeof head.sha256));
    json_t *object = json_pack("{s:I, s:s}", "number", (json_int_t)head.number, "sha256", hex);
    free(hex);
    return object;
}

json_t *status_describe(const struct agent *agent, const struct uplink_status *up)
{
    const struct rl_policy *policy = policy_keeper_policy(agent->policy);
    int64_t age_s = policy ? (agent_now_ns(agent) - rl_policy_time_ns(policy)) / 1000000000 : 0;
    return json_pack(
        "{s:o, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
        rl_json_text(rl_enrol_id(agent->enrol)), "name",
        rl_json_text_or_null(rl_enrol_name(agent->enrol)), "cluster",
        rl_json_text(rl_enrol_cluster(agent->enrol)), "mode",
        agent->is_direct ? "direct" : "tunnel", "connected", up->is_connected, "broker",
        rl_json_text_or_null(up->broker), "since", rl_json_time_or_null(up->since_ns), "last_error",
        rl_json_text_or_null(up->last_error), "policy_version",
        policy ? json_integer((json_int_t)rl_policy_version(policy)) : json_null(), "policy_age_s",
        policy ? json_integer(age_s) : json_null(), "audit_head", audit_head_json(agent));
}

/* The answer fits the socket's buffer: whoever asks and does not read holds up nobody. */
static void on_asked(void *context, int fd, unsigned events)
{
    (void)events;
    const struct status_server *server = context;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer < 0)
        return;
    struct uplink_status up;
    uplink_status(server->agent->uplink, &up);
    json_t *answer = status_describe(server->agent, &up);
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    if (text)
        send(peer, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    free(text);
    json_decref(answer);
    close(peer);
}

/* A socket's path is 107 bytes at most; one relative to the open directory always fits. */
static rl_code socket_address(const char *data_dir, struct sockaddr_un *address, int *dir,
                              struct rl_error *err)
{
    *dir = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0)
        return rl_fail_errno(err, RL_E_NOT_FOUND, "no agent's data in %s", data_dir);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *dir,
             RL_AGENT_STATUS_SOCKET);
    return RL_OK;
}

rl_code status_server_create(struct agent *agent, struct status_server **out, struct rl_error *err)
{
    struct sockaddr_un address;
    int dir = -1;
    rl_code rc = socket_address(agent->settings.data_dir, &address, &dir, err);
    if (rc != RL_OK)
        return rc;
    struct status_server *server = rl_alloc(sizeof *server);
    server->agent = agent;
    server->path = rl_sprintf("%s/%s", agent->settings.data_dir, RL_AGENT_STATUS_SOCKET);
    unlink(server->path); /* the directory is locked: it is a dead agent's */
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0 ||
        bind(server->fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        chmod(server->path, 0600) != 0 || listen(server->fd, 8) != 0)
        rc = rl_fail_errno(err, RL_E_INTERNAL, "the status socket in %s", agent->settings.data_dir);
    close(dir);
    if (rc == RL_OK)
        rc = rl_watch_start(agent->loop, server->fd, RL_LOOP_READ, on_asked, server, &server->watch,
                            err);
    if (rc != RL_OK) {
        status_server_free(&server);
        return rc;
    }
    *out = server;
    return RL_OK;
}

void status_server_free(struct status_server **server)
{
    if (!*server)
        return;
    rl_watch_stop(&(*server)->watch);
    if ((*server)->fd >= 0)
        close((*server)->fd);
    unlink((*server)->path);
    free((*server)->path);
    free(*server);
    *server = NULL;
}

/* ---- `remoteler status` ---- */

struct status_settings {
    char *data_dir, *format;
    bool healthcheck;
};

static const struct rl_setting rows[] = {
    {.name = "data-dir",
     .type = RL_SETTING_FILE,
     .offset = offsetof(struct status_settings, data_dir),
     .help = "the agent's; as for start"},
    {.name = "format",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct status_settings, format),
     .fallback = "text",
     .help = "text, json or yaml"},
    {.name = "healthcheck",
     .type = RL_SETTING_SWITCH,
     .offset = offsetof(struct status_settings, healthcheck),
     .help = "say nothing when it is connected; else say why, and exit with 1"},
};

const struct rl_settings_spec agent_status_spec = {
    .program = "remoteler status",
    .summary = "what the agent that runs on this machine is doing",
    .usage = "[--data-dir=DIR] [--format=text|json|yaml] [--healthcheck]",
    .example = "remoteler status --format=json",
    .section = 8,
    .environment_prefix = "REMOTELER_AGENT",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static rl_code ask(const char *data_dir, json_t **out, struct rl_error *err)
{
    struct sockaddr_un address;
    int dir = -1;
    rl_code rc = socket_address(data_dir, &address, &dir, err);
    if (rc != RL_OK)
        return rc;
    char answer[ANSWER_BYTES_MAX];
    size_t n = 0;
    ssize_t got = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "no agent runs on %s", data_dir);
    } else {
        while (n < sizeof answer && (got = read(fd, answer + n, sizeof answer - n)) > 0)
            n += (size_t)got;
        *out = json_loadb(answer, n, 0, NULL);
        if (!*out)
            rc = rl_fail(err, RL_E_INTERNAL, "the agent's answer can not be read");
    }
    if (fd >= 0)
        close(fd);
    close(dir);
    return rc;
}

static const struct rl_column columns[] = {
    {"ID", "id"},
    {"Name", "name"},
    {"Cluster", "cluster"},
    {"Mode", "mode"},
    {"Connected", "connected"},
    {"Broker", "broker"},
    {"Since", "since"},
    {"Last error", "last_error"},
    {"Policy version", "policy_version"},
    {"Policy age (s)", "policy_age_s"},
    {"Audit checkpoint", "audit_head.number"},
};

static rl_code check_connected(const json_t *status, struct rl_error *err)
{
    const char *last_error = json_string_value(json_object_get(status, "last_error"));
    if (json_is_true(json_object_get(status, "connected")))
        return RL_OK;
    return rl_fail(err, RL_E_UNAVAILABLE, "not connected to the cluster%s%s",
                   last_error ? ": " : "", last_error ? last_error : "");
}

static rl_code show(const struct status_settings *s, enum rl_format format, struct rl_error *err)
{
    json_t *status = NULL;
    char *dir = s->data_dir ? rl_strdup(s->data_dir) : NULL;
    rl_code rc = dir ? RL_OK : agent_data_dir(&dir, err);
    if (rc == RL_OK)
        rc = ask(dir, &status, err);
    char *run_dir = agent_run_dir();
    if (rc != RL_OK && !s->data_dir && ask(run_dir, &status, NULL) == RL_OK)
        rc = RL_OK; /* --state=memory */
    free(run_dir);
    if (rc == RL_OK && !json_is_object(status))
        rc = rl_fail(err, RL_E_INTERNAL, "the agent's answer can not be read");
    if (rc == RL_OK && s->healthcheck)
        rc = check_connected(status, err);
    else if (rc == RL_OK)
        rc = rl_output_object(stdout, format, status, columns, RL_COUNT(columns), err);
    json_decref(status);
    free(dir);
    return rc;
}

int agent_status(int argc, char **argv)
{
    struct status_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    enum rl_format format;
    rl_code rc = rl_settings_read(&agent_status_spec, argc, argv, &s, &rest, &err);
    if (rc == RL_OK)
        rc = rl_format_parse(s.format, &format, &err);
    int code = rc == RL_OK ? RL_EXIT_DONE : rl_output_usage("remoteler", rc, &err);
    if (rc == RL_OK && show(&s, format, &err) != RL_OK) {
        rl_output_say("remoteler: %s", err.message);
        code = RL_EXIT_FAILED;
    }
    rl_settings_free(&agent_status_spec, &s);
    return code;
}
