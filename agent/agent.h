/* agent: the far side. One process, one loop: it dials out (or, as a direct node, listens), holds
 * the policy that auth signed, and forks one child for each connection.
 */
#ifndef RL_AGENT_H
#define RL_AGENT_H

#include "clock/clock.h"
#include "dial/http_proxy.h"
#include "enrol/enrol.h"
#include "event/event.h"
#include "loop/loop.h"
#include "settings/settings.h"
#include "tunnel/ring.h"

#define RL_AGENT_CONNECTIONS_MAX 1024 /* of users, at once */
/* Of these, that have not logged in yet: a few for an address, so that one who opens and opens
 * keeps nobody else out. */
#define RL_AGENT_HALF_OPEN_MAX 64
#define RL_AGENT_HALF_OPEN_OF_ONE_MAX 16
/* Of its descriptors, that no user's connection takes: its links, its files, who asks its status.
 */
#define RL_AGENT_DESCRIPTORS_OWN 16
#define RL_AGENT_POLICY_FILE "policy"
#define RL_AGENT_STATUS_SOCKET "status.sock"

/** The program's settings (agent/settings.c has the table). */
struct agent_settings {
    char *proxy, *auth_server, *listen;
    char *token, *nodename, *data_dir, *ca_pin, *config, *log_level;
    char *advertise;
    struct rl_text_list labels, roles;
    char *state, *https_proxy, *no_proxy;
    uint64_t recording_grace_s;
    int64_t recording_spool_bytes;
    bool insecure, log_text, seccomp;
};
extern const struct rl_settings_spec agent_start_spec, agent_configure_spec, agent_status_spec,
    agent_install_spec;

struct policy_keeper; /* policy_keeper.h */
struct admission;     /* admission.h */
struct uplink;        /* uplink.h */
struct node;          /* node.h */
struct direct;        /* direct.h */
struct status_server; /* status.h */
struct recordings;    /* recordings.h */

/** What the rooms of the agent share. */
struct agent {
    struct rl_loop *loop;
    struct agent_settings settings;
    uint64_t descriptors_max; /* that the system lets it have; 0: unknown */
    char hostname[256];
    bool is_direct;
    bool is_unprivileged;
    bool is_stopping;
    bool in_memory; /* --state=memory: nothing is kept for the next start */
    struct rl_http_proxy *http_proxy;
    Pb__Label **labels;
    size_t label_count;
    struct rl_enrol *enrol;
    struct rl_trusted_clock clock;
    struct policy_keeper *policy;
    struct admission *admission;
    struct uplink *uplink;
    struct node *node;
    struct direct *direct;
    struct status_server *status;
    struct rl_timer *rest;      /* nothing is to be done: memory goes back */
    bool has_rested;            /* once; it will again */
    struct carriage *carriages; /* carry.c: users' connections */
    struct guest *guests;       /* guests.c: who is here */
    struct rl_ring_budget unacknowledged;
    /* to audit: events.c */
    struct rl_tls_client *audit_tls;
    struct rl_rpc_channel *audit_channel;
    struct rl_event_sender *events;
    struct rl_journal *journal;
    struct recordings *recordings;
    int exit_code;
};

/** Fills in what the settings leave open (choices.c), and refuses what does not go together. */
rl_code agent_choose(struct agent *agent, struct rl_error *err);
/** Where an agent of this user keeps its data unless told; heap text. */
rl_code agent_data_dir(char **out, struct rl_error *err);
/** Where one that keeps nothing has its lock and its socket; heap text. */
char *agent_run_dir(void);
/** The token itself, @FILE, or - for stdin; heap text, to be wiped. */
rl_code agent_read_token(const char *setting, char **out, struct rl_error *err);

/** The agent has just begun, or its last user has gone: in a while it needs less memory. */
void agent_rest_begin(struct agent *agent);
void agent_rest_soon(struct agent *agent); /* nothing before it began, and after its end */
/** Agent time: the last that auth signed plus what passed since. */
int64_t agent_now_ns(const struct agent *agent);
int64_t agent_now_s(void *agent);

int agent_start(int argc, char **argv);
int agent_status(int argc, char **argv);
int agent_configure(int argc, char **argv);
int agent_install(int argc, char **argv);
int agent_version(int argc, char **argv);
int agent_completion(int argc, char **argv);

#endif
