/* tctl: the administrator's command line. It speaks to auth itself with an identity file
 * (REMOTELER_AUTH_SERVER, REMOTELER_IDENTITY_FILE). One file per group of commands; each returns
 * the contract's exit status.
 */
#ifndef TCTL_H
#define TCTL_H

#include "output/output.h"
#include "output/value.h"
#include "remoteler/v1/audit.pb-c.h"
#include "remoteler/v1/auth.pb-c.h"
#include "resource/resource.h"
#include "rpc/rpc.h"
#include "settings/settings.h"

#define TCTL_CALL_MS 30000

struct tctl_client {
    struct rl_loop *loop;
    struct rl_tls_identity *identity;
    struct rl_trust *trust;
    Pb__TrustBundle *bundle; /* of the identity file: what is pinned */
    char *cluster;
    char *address; /* of auth */
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
};

/** Errors: RL_E_UNAUTHENTICATED without an identity. */
rl_code tctl_open(struct tctl_client *out, struct rl_error *err);
/** A second channel with the same identity: to audit, at the address that auth's status names. */
rl_code tctl_open_audit(struct tctl_client *client, struct rl_tls_client **tls,
                        struct rl_rpc_channel **channel, struct rl_error *err);
void tctl_close(struct tctl_client *client);
/** Owns: *reply by protobuf_c_message_free_unpacked(). */
rl_code tctl_call(struct tctl_client *client, const char *method, const ProtobufCMessage *request,
                  ProtobufCMessage **reply, struct rl_error *err);

/** Says it on stderr; the exit status that belongs to it. */
int tctl_fail(const struct rl_error *err);
int tctl_usage(rl_code code, const struct rl_error *err);

/** A command with its own settings: reads them, opens the client, works, closes. `settings` is
 * zeroed, `bytes` long. */
struct tctl_command {
    const struct rl_settings_spec *spec;
    size_t bytes;
    size_t positional_min;
    const char *missing; /* what is missing when there are fewer */
    /* What the table can not say of wrong usage; NULL: nothing. Before anything is sent. */
    rl_code (*check)(const void *settings, struct rl_error *err);
    rl_code (*work)(struct tctl_client *client, const void *settings,
                    const struct rl_positionals *rest, struct rl_error *err);
};
int tctl_run(const struct tctl_command *command, int argc, char **argv);

extern const struct tctl_command tctl_audit_verify;
extern const struct tctl_command tctl_status, tctl_get, tctl_create, tctl_edit, tctl_rm, tctl_lock;

/** One of a group's commands by name. */
struct tctl_subcommand {
    const char *name;
    const struct tctl_command *command;
    const char *help;
};

/** Commands that share their first word. */
struct tctl_group {
    const char *name;
    const struct tctl_subcommand *commands;
    size_t count;
};
extern const struct tctl_group tctl_users, tctl_tokens, tctl_nodes, tctl_inventory, tctl_auth,
    tctl_audit, tctl_locks, tctl_clusters;
/** argv[0] is the group's own name. */
int tctl_run_group(const struct tctl_group *group, int argc, char **argv);

/** NULL is text. Errors: RL_E_INVAL. */
rl_code tctl_format(const char *name, enum rl_format *out, struct rl_error *err);

/** How the resources of a kind are listed. */
struct tctl_listing {
    const char *kind; /* "token" */
    /* NULL: it is of another kind, or not whole; else a new reference. */
    json_t *(*json)(const Pb__Resource *resource, const char *cluster);
    const struct rl_column *columns;
    size_t count;
    const char *nothing; /* what text says when there is none: "No tokens." */
};
rl_code tctl_list(struct tctl_client *client, const struct tctl_listing *listing,
                  const char *format_name, struct rl_error *err);
rl_code tctl_remove(struct tctl_client *client, const char *kind, const char *name,
                    struct rl_error *err);

/* ---- what is shown: new references; NULL for an answer that lacks what it must have ---- */
json_t *tctl_user_json(const Pb__User *user);
json_t *tctl_token_json(const Pb__Token *token);
json_t *tctl_rotations_json(Pb__Rotation *const *rotations, size_t count);
json_t *tctl_event_json(const Pb__Event *event);
/** What to run on the machine that joins, or as an administrator of the leaf that comes to
 * `cluster`, quoted for a shell; heap text, to be wiped. */
char *tctl_join_command(const Pb__AddTokenResponse *added, const char *cluster);
json_t *tctl_leaf_json(const Pb__RemoteCluster *leaf);
json_t *tctl_root_json(const Pb__TrustedCluster *root);

#endif
