/* node_child: decides who comes in, on the policy that auth signed, and reports what happens. The
 * ticket only says who is said to come: the decision rests on the user's certificate alone.
 */
#include "node_child.h"

#include "log/log.h"
#include "names/names.h"
#include "policy_keeper.h"
#include "recordings.h"
#include "remoteler/v1/node.pb-c.h"
#include "sshcert/sshkey.h"
#include "sshd/confine.h"
#include "sshd/sshd.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM_UID_BASE 1073741824u /* a range that no distribution hands out */
#define ROOM_UID_COUNT 65536u
#define AUTHORITIES_MAX 64 /* of this cluster's users, and of all root clusters' */
#define FIRST_FD (STDERR_FILENO + 1)
#define EXIT_NO_DESCRIPTOR 71
#define EMPTY_DIR_NAME "empty"
#define ANSWER_BYTES_MAX 4096
#define ANSWER_MS 5000 /* that the agent has to answer */

/* One process, one connection: this is its whole state. */
struct visit {
    struct agent *agent;
    const Pb__Ticket *ticket;
    char client_ip[64];
    struct node_child_fds fds;
    const char *recording;      /* its mode, once let in */
    Pb__IdentityClaims *claims; /* as their authority may say them; NULL: nobody known */
    struct rl_span authority;   /* that signed the certificate; borrowed from it */
    bool has_session_limit;
    int64_t vouched_age_s; /* of the policy that let in, then */
};

static bool is_one_of(int *const *fds, size_t n, int fd)
{
    for (size_t i = 0; i < n; i++)
        if (*fds[i] == fd)
            return true;
    return false;
}

/* To 3 and up, by a place above them: one of them may be where another has to go. The agent's own
 * are closed first: it may have as many as it is allowed. */
static void keep_fds(struct node_child_fds *keep)
{
    int *fds[] = {&keep->stream, &keep->control, &keep->reports, &keep->recordings};
    int last = FIRST_FD + (int)RL_COUNT(fds) - 1, highest = last;
    for (size_t i = 0; i < RL_COUNT(fds); i++)
        highest = *fds[i] > highest ? *fds[i] : highest;
    for (int fd = FIRST_FD; fd < highest; fd++)
        if (!is_one_of(fds, RL_COUNT(fds), fd))
            close(fd);
    rl_confine_close_from(highest + 1);
    for (size_t i = 0; i < RL_COUNT(fds); i++)
        if ((*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, last + 1)) < 0)
            _exit(EXIT_NO_DESCRIPTOR);
    for (size_t i = 0; i < RL_COUNT(fds); i++) {
        int to = FIRST_FD + (int)i;
        if (dup3(*fds[i], to, O_CLOEXEC) < 0)
            _exit(EXIT_NO_DESCRIPTOR);
        *fds[i] = to;
    }
    rl_confine_close_from(last + 1);
}

/* "192.0.2.7:1234" or "[2001:db8::1]:1234" to the address alone. */
static void address_without_port(const char *address, char ip[64])
{
    char *host = NULL;
    uint16_t port = 0;
    ip[0] = '\0';
    if (rl_address_split(address, &host, &port, NULL) == RL_OK && strlen(host) < 64)
        memcpy(ip, host, strlen(host) + 1);
    free(host);
}

/* As our own proxy saw it; of who comes by way of a root, as that claims it. */
static const char *client_address(const Pb__Ticket *ticket)
{
    bool is_claimed = *ticket->root_cluster && *ticket->root_address;
    return is_claimed ? ticket->root_address : ticket->client_address;
}

static rl_code read_claims(struct visit *visit, const struct rl_sshcert *cert, struct rl_error *err)
{
    const struct rl_policy *policy = policy_keeper_policy(visit->agent->policy);
    if (visit->claims)
        pb__identity_claims__free_unpacked(visit->claims, NULL);
    visit->claims = NULL;
    if (cert->identity.n == 0 || cert->identity.n > RL_IDENTITY_CLAIMS_BYTES_MAX)
        return rl_fail(err, RL_E_DENIED,
                       "the certificate does not say who it is for; log in with tsh");
    Pb__IdentityClaims *claims =
        pb__identity_claims__unpack(NULL, cert->identity.n, cert->identity.p);
    if (!claims)
        return rl_fail(err, RL_E_DENIED, "the certificate's identity can not be read");
    const char *speaks_for = rl_policy_authority_cluster(policy, cert->ca_key);
    if (speaks_for && strcmp(speaks_for, claims->cluster) == 0) {
        visit->claims = claims;
        visit->authority = cert->ca_key;
        return RL_OK;
    }
    /* Whoever it is: an event that names a user of ours, or of another root, would be a lie. */
    pb__identity_claims__free_unpacked(claims, NULL);
    return rl_fail(err, RL_E_DENIED,
                   "the certificate is not from an authority of its user's cluster%s%s",
                   speaks_for ? ", but of " : "", speaks_for ? speaks_for : "");
}

/* Who comes by way of a root is one of its users: for others there is a shorter way. */
static rl_code check_way(const struct visit *visit, struct rl_error *err)
{
    const char *by_way_of = visit->ticket->root_cluster;
    if (!*by_way_of || strcmp(by_way_of, visit->claims->cluster) == 0)
        return RL_OK;
    return rl_fail(err, RL_E_DENIED, "only users of cluster %s come by way of it", by_way_of);
}

static const char *const record_modes[] = {[RL_RECORD_OFF] = "off",
                                           [RL_RECORD_BEST_EFFORT] = "best_effort",
                                           [RL_RECORD_STRICT] = "strict"};
/* ---- what the agent is told and asked ---- */

static bool say(const struct visit *visit, const Pb__MonitorReport *report)
{
    size_t n = pb__monitor_report__get_packed_size(report);
    uint8_t *packed = rl_alloc(n);
    pb__monitor_report__pack(report, packed);
    /* Blocks when the agent is slow: an event is worth waiting for, and nothing is lost. */
    bool is_said = send(visit->fds.reports, packed, n, MSG_NOSIGNAL) == (ssize_t)n;
    free(packed);
    return is_said;
}

/* Nothing but answers comes this way, and each is read before the next question. */
static rl_code ask(const struct visit *visit, const Pb__MonitorReport *question,
                   struct rl_error *err)
{
    uint8_t bytes[ANSWER_BYTES_MAX];
    struct pollfd p = {visit->fds.reports, POLLIN, 0};
    if (!say(visit, question) || poll(&p, 1, ANSWER_MS) != 1)
        return rl_fail(err, RL_E_UNAVAILABLE, "this node's agent does not answer; try again");
    ssize_t n = recv(visit->fds.reports, bytes, sizeof bytes, MSG_DONTWAIT);
    Pb__MonitorAnswer *answer = n > 0 ? pb__monitor_answer__unpack(NULL, (size_t)n, bytes) : NULL;
    if (!answer)
        return rl_fail(err, RL_E_UNAVAILABLE, "this node's agent is gone; try again");
    rl_code rc = RL_OK;
    if (!answer->is_yes)
        rc =
            rl_fail(err, answer->code ? (rl_code)answer->code : RL_E_DENIED, "%s", answer->message);
    pb__monitor_answer__free_unpacked(answer, NULL);
    return rc;
}

/* The policy may have changed since this process was made. */
static rl_code enter(const struct visit *visit, const struct rl_policy_ssh *who,
                     uint32_t max_sessions, struct rl_error *err)
{
    Pb__Guest guest = PB__GUEST__INIT;
    guest.claims = visit->claims;
    guest.authority.data = (uint8_t *)(uintptr_t)visit->authority.p;
    guest.authority.len = visit->authority.n;
    guest.login = (char *)(uintptr_t)who->login;
    guest.client_address = (char *)(uintptr_t)visit->client_ip;
    guest.max_sessions = max_sessions;
    Pb__MonitorReport question = PB__MONITOR_REPORT__INIT;
    question.body_case = PB__MONITOR_REPORT__BODY_GUEST;
    question.guest = &guest;
    return ask(visit, &question, err);
}

static rl_code may_start(void *context, struct rl_error *err)
{
    const struct visit *visit = context;
    Pb__SessionWanted session = PB__SESSION_WANTED__INIT;
    Pb__MonitorReport question = PB__MONITOR_REPORT__INIT;
    question.body_case = PB__MONITOR_REPORT__BODY_SESSION;
    question.session = &session;
    return visit->has_session_limit ? ask(visit, &question, err) : RL_OK;
}

/* ---- the decision ---- */

static rl_code authorize(void *context, const struct rl_sshd_request *request,
                         struct rl_sshd_grant *grant, struct rl_error *err)
{
    struct visit *visit = context;
    struct agent *agent = visit->agent;
    snprintf(grant->session_id, sizeof grant->session_id, "%s", visit->ticket->session_id);
    rl_code rc = read_claims(visit, request->cert, err);
    if (rc == RL_OK)
        rc = check_way(visit, err);
    if (rc != RL_OK)
        return rc;
    struct rl_policy_ssh who = {
        .claims = visit->claims,
        .authority = visit->authority,
        .node_id = rl_enrol_id(agent->enrol),
        .login = request->login,
        .client_address = visit->client_ip,
        .now_ns = agent_now_ns(agent),
        .statement_age_s = policy_keeper_statement_age_s(agent->policy),
        .statement_policy_version = policy_keeper_statement_version(agent->policy),
    };
    struct rl_authz_grant allowed;
    const struct rl_policy *policy = policy_keeper_policy(agent->policy);
    rc = rl_policy_decide_ssh(policy, &who, &allowed, err);
    if (rc == RL_OK)
        rc = enter(visit, &who, allowed.max_sessions, err);
    if (rc != RL_OK)
        return rc;
    visit->vouched_age_s = rl_policy_vouched_age_s(policy, &who);
    visit->has_session_limit = allowed.max_sessions > 0;
    if (allowed.record_ssh == RL_RECORD_STRICT &&
        (rc = recordings_check_strict(agent->recordings, err)) != RL_OK)
        return rc;
    visit->recording = record_modes[allowed.record_ssh];
    grant->record = allowed.record_ssh != RL_RECORD_OFF;
    grant->permit_pty = true;
    grant->port_forwarding = allowed.port_forwarding;
    grant->agent_forwarding = allowed.forward_agent;
    grant->file_copy = allowed.ssh_file_copy;
    grant->client_idle_timeout_s = (uint32_t)allowed.client_idle_timeout_s;
    grant->max_sessions = allowed.max_sessions;
    if (allowed.disconnect_expired_cert)
        grant->disconnect_at_s = (int64_t)request->cert->valid_before_s;
    return RL_OK;
}

/* ---- events ---- */

static const struct {
    const char *type;
    const char *outcome; /* NULL: the event's own */
} event_types[] = {
    [RL_SSHD_SESSION_START] = {"session.start", "success"},
    [RL_SSHD_SESSION_COMMAND] = {"session.command", "success"},
    [RL_SSHD_SESSION_RESIZE] = {"session.resize", "success"},
    [RL_SSHD_SESSION_END] = {"session.end", "success"},
    [RL_SSHD_SESSION_REJECTED] = {"session.rejected", "denied"},
    [RL_SSHD_PORT_FORWARD] = {"port.forward", NULL},
    [RL_SSHD_SFTP] = {"sftp", NULL},
    [RL_SSHD_CLIENT_DISCONNECT] = {"client.disconnect", "success"},
};

static const char *const outcome_names[] = {
    [RL_SSHD_SUCCESS] = "success",
    [RL_SSHD_FAILURE] = "failure",
    [RL_SSHD_DENIED] = "denied",
};

static const char *const kind_names[] = {
    [RL_SSHD_SHELL] = "shell",
    [RL_SSHD_EXEC] = "exec",
    [RL_SSHD_SUBSYSTEM] = "subsystem",
};

static void detail_number(Pb__Event *event, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    rl_event_detail(event, key, text);
}

static void say_who_and_where(const struct visit *visit, const struct rl_sshd_event *seen,
                              Pb__Event *event)
{
    const struct agent *agent = visit->agent;
    rl_event_set(&event->cluster, rl_enrol_cluster(agent->enrol));
    if (visit->claims) {
        rl_event_set(&event->user, visit->claims->user);
        rl_event_set(&event->user_cluster, visit->claims->cluster);
    }
    rl_event_set(&event->session_id, visit->ticket->session_id);
    rl_event_set(&event->root_session_id, visit->ticket->root_session_id);
    rl_event_set(&event->resource_kind, "node");
    rl_event_set(&event->resource_id, rl_enrol_id(agent->enrol));
    rl_event_set(&event->resource_name, rl_enrol_name(agent->enrol));
    rl_event_set(&event->login, seen->login);
    rl_event_set(&event->client_address, client_address(visit->ticket));
    if (*visit->ticket->root_cluster)
        rl_event_detail(event, "client_address_by", visit->ticket->root_cluster);
}

static void say_what(const struct visit *visit, const struct rl_sshd_event *seen, Pb__Event *event)
{
    bool is_session = seen->type == RL_SSHD_SESSION_START || seen->type == RL_SSHD_SESSION_END;
    rl_event_set(&event->reason, seen->reason);
    rl_event_set(&event->command, seen->command);
    if (is_session) {
        rl_event_detail(event, "kind", kind_names[seen->kind]);
        detail_number(event, "channel", seen->channel);
    }
    if (seen->type == RL_SSHD_SESSION_START) {
        rl_event_detail(event, "interactive", seen->pty ? "true" : "false");
        rl_event_detail(event, "recording", visit->recording);
    }
    /* A strict role would have refused: who reads this is to know on how old a word it rests. */
    if (seen->type == RL_SSHD_SESSION_START && visit->vouched_age_s > RL_STATEMENT_STRICT_AGE_S)
        detail_number(event, "policy_age_s", (uint64_t)visit->vouched_age_s);
    if (seen->columns || seen->rows) {
        detail_number(event, "columns", seen->columns);
        detail_number(event, "rows", seen->rows);
    }
    if (seen->type == RL_SSHD_SESSION_END) {
        event->has_exit_code = seen->exit_code >= 0;
        event->exit_code = event->has_exit_code ? seen->exit_code : 0;
        rl_event_set(&event->signal, seen->signal);
        event->has_bytes = true;
        event->bytes_in = seen->bytes_in;
        event->bytes_out = seen->bytes_out;
        detail_number(event, "duration_ms", seen->duration_ms);
    }
    if (seen->type == RL_SSHD_PORT_FORWARD) {
        rl_event_detail(event, "host", seen->host);
        detail_number(event, "port", seen->port);
        rl_event_detail(event, "direction", seen->direction);
    }
}

/* What a file copy did: one operation, or the sum of many. */
static void say_which_file(const struct rl_sshd_event *seen, Pb__Event *event)
{
    if (seen->type != RL_SSHD_SFTP)
        return;
    rl_event_detail(event, "operation", seen->operation);
    if (*seen->path)
        rl_event_detail(event, "path", seen->path);
    if (*seen->target)
        rl_event_detail(event, "target", seen->target);
    event->has_bytes = seen->bytes_in || seen->bytes_out;
    event->bytes_in = seen->bytes_in;
    event->bytes_out = seen->bytes_out;
}

static void tell(void *context, const struct rl_sshd_event *seen)
{
    struct visit *visit = context;
    const char *outcome = event_types[seen->type].outcome;
    if (!outcome)
        outcome = outcome_names[seen->outcome];
    Pb__Event *event =
        rl_event_create(event_types[seen->type].type, outcome, agent_now_ns(visit->agent));
    say_who_and_where(visit, seen, event);
    say_what(visit, seen, event);
    say_which_file(seen, event);
    Pb__MonitorReport report = PB__MONITOR_REPORT__INIT;
    report.body_case = PB__MONITOR_REPORT__BODY_EVENT;
    report.event = event;
    if (!say(visit, &report))
        rl_log_error("an event could not be handed to the agent", RL_TEXT("type", event->type));
    rl_event_free(&event);
}

/* ---- the process ---- */

static int64_t now_s(void *context)
{
    const struct visit *visit = context;
    return agent_now_ns(visit->agent) / 1000000000;
}

struct authorities {
    struct rl_span keys[AUTHORITIES_MAX];
    size_t count;
};

static void add_authorities(struct authorities *to, Pb__CaKey *const *keys, size_t count)
{
    for (size_t i = 0; i < count && to->count < AUTHORITIES_MAX; i++)
        to->keys[to->count++] = RL_SPAN(keys[i]->public_key.data, keys[i]->public_key.len);
}

static void find_authorities(const struct agent *agent, struct authorities *own,
                             struct authorities *foreign)
{
    const struct rl_policy *policy = policy_keeper_policy(agent->policy);
    Pb__CaKey *const *keys = NULL;
    Pb__RootTrust *const *roots = NULL;
    size_t count = 0;
    own->count = foreign->count = 0;
    rl_policy_user_ssh_cas(policy, &keys, &count);
    add_authorities(own, keys, count);
    rl_policy_roots(policy, &roots, &count);
    for (size_t i = 0; i < count; i++)
        add_authorities(foreign, roots[i]->user_ssh_keys, roots[i]->n_user_ssh_keys);
}

static rl_code serve(struct visit *visit, struct rl_error *err)
{
    struct agent *agent = visit->agent;
    struct authorities own, foreign;
    struct rl_buf host_public;
    find_authorities(agent, &own, &foreign);
    rl_buf_init(&host_public, 1024);
    rl_code rc = rl_sshkey_public_blob(rl_enrol_ssh_host_key(agent->enrol), &host_public, err);
    if (rc == RL_OK) {
        char *empty = rl_sprintf("%s/" EMPTY_DIR_NAME, agent->settings.data_dir);
        struct rl_sshd_config config = {
            .host_key = rl_enrol_ssh_host_key(agent->enrol),
            .host_public = rl_buf_span(&host_public),
            .host_certificate = rl_enrol_ssh_host_certificate(agent->enrol),
            .user_authorities = own.keys,
            .user_authorities_n = own.count,
            .foreign_authorities = foreign.keys,
            .foreign_authorities_n = foreign.count,
            .node_name = rl_enrol_name(agent->enrol),
            .empty_dir = empty,
            .no_seccomp = !agent->settings.seccomp,
            .room_uid_base = ROOM_UID_BASE,
            .room_uid_count = ROOM_UID_COUNT,
            .recording_fd = visit->fds.recordings,
            .motd_path = "/etc/motd",
            .ctx = visit,
            .now_s = now_s,
            .authorize = authorize,
            .start = may_start,
            .event = tell,
        };
        rc = rl_sshd_serve(&config, visit->fds.stream, visit->fds.control, visit->client_ip, err);
        free(empty);
    }
    rl_buf_fini(&host_public);
    return rc;
}

_Noreturn void node_child_main(struct agent *agent, const Pb__Ticket *ticket,
                               const struct node_child_fds *fds)
{
    sigset_t none;
    sigemptyset(&none);
    struct visit visit = {.agent = agent, .ticket = ticket, .fds = *fds};
    keep_fds(&visit.fds);
    sigprocmask(SIG_SETMASK, &none, NULL);
    malloc_trim(0); /* what the agent has free would become this process's own, page by page */
    address_without_port(client_address(ticket), visit.client_ip);
    struct rl_error err;
    rl_code rc = serve(&visit, &err);
    if (rc != RL_OK)
        rl_log_warn("connection ended", RL_TEXT("session_id", ticket->session_id),
                    RL_TEXT("code", rl_code_name(rc)), RL_TEXT("reason", err.message));
    _exit(rc == RL_OK ? 0 : 1);
}
