/* access: the table of architecture section 5, whole. The decision starts as "no"; a row has to
 * name the caller's kind. What the caller may then do with which resource is authz's. */
#include "access/access.h"

#include <stdlib.h>
#include <string.h>

#define ANYONE RL_CALLER_ANONYMOUS
#define SERVICES (RL_CALLER_PROXY | RL_CALLER_BROKER | RL_CALLER_AUDIT)

static const struct rl_access_row table[] = {
    {"remoteler.v1.Auth", "Ping", ANYONE},
    {"remoteler.v1.Auth", "Time", ANYONE},
    {"remoteler.v1.Auth", "Join", ANYONE},
    {"remoteler.v1.Auth", "Login", ANYONE},
    {"remoteler.v1.Auth", "Invitation", ANYONE},
    {"remoteler.v1.Auth", "Signup", ANYONE},

    {"remoteler.v1.Fleet", "Renew", RL_CALLER_AGENT | SERVICES},
    {"remoteler.v1.Fleet", "Follow", RL_CALLER_AGENT},

    {"remoteler.v1.Trust", "Establish", ANYONE},
    {"remoteler.v1.Trust", "State", ANYONE},
    {"remoteler.v1.Trust", "Update", RL_CALLER_LEAF_AUTH},
    {"remoteler.v1.Trust", "Leave", RL_CALLER_LEAF_AUTH},

    {"remoteler.v1.Session", "Logout", RL_CALLER_USER},
    {"remoteler.v1.Session", "ChangePassword", RL_CALLER_USER},
    {"remoteler.v1.Session", "ListNodes", RL_CALLER_USER | RL_CALLER_ROOT_USER},
    {"remoteler.v1.Session", "ListClusters", RL_CALLER_USER},
    {"remoteler.v1.Session", "Authorities", RL_CALLER_USER | RL_CALLER_ROOT_USER},

    {"remoteler.v1.Admin", "Status", RL_CALLER_USER},
    {"remoteler.v1.Admin", "GetResources", RL_CALLER_USER},
    {"remoteler.v1.Admin", "PutResource", RL_CALLER_USER},
    {"remoteler.v1.Admin", "DeleteResource", RL_CALLER_USER},
    {"remoteler.v1.Admin", "AddUser", RL_CALLER_USER},
    {"remoteler.v1.Admin", "ResetUser", RL_CALLER_USER},
    {"remoteler.v1.Admin", "UpdateUser", RL_CALLER_USER},
    {"remoteler.v1.Admin", "AddToken", RL_CALLER_USER},
    {"remoteler.v1.Admin", "ListInventory", RL_CALLER_USER},
    {"remoteler.v1.Admin", "SignUser", RL_CALLER_USER},
    {"remoteler.v1.Admin", "ListCheckpoints", RL_CALLER_USER},
    {"remoteler.v1.Admin", "RotateAuthorities", RL_CALLER_USER},

    {"remoteler.v1.Control", "Watch", SERVICES | RL_CALLER_AUTH},
    {"remoteler.v1.Control", "Heartbeat", SERVICES | RL_CALLER_AUTH},
    {"remoteler.v1.Control", "NextEpoch", RL_CALLER_BROKER},
    {"remoteler.v1.Control", "ReportAttachments", RL_CALLER_BROKER},
    {"remoteler.v1.Control", "PolicyFor", RL_CALLER_BROKER},
    {"remoteler.v1.Control", "ResolveTarget", RL_CALLER_PROXY | RL_CALLER_BROKER},
    {"remoteler.v1.Control", "TakeRootPolicy", RL_CALLER_BROKER},
    {"remoteler.v1.Control", "ReportRoot", RL_CALLER_BROKER},
    {"remoteler.v1.Control", "Decide", RL_CALLER_PROXY | RL_CALLER_AUDIT},
    {"remoteler.v1.Control", "SignTombstones", RL_CALLER_AUDIT},

    {"remoteler.v1.TunnelBroker", "Attach", RL_CALLER_AGENT | RL_CALLER_LEAF_BROKER},
    {"remoteler.v1.TunnelBroker", "Carry", RL_CALLER_AGENT | RL_CALLER_LEAF_BROKER},
    {"remoteler.v1.Passage", "Leave", RL_CALLER_PROXY},
    {"remoteler.v1.Dialer", "Dial", RL_CALLER_PROXY | RL_CALLER_BROKER},

    {"remoteler.v1.Audit", "Append",
     RL_CALLER_AGENT | RL_CALLER_AUTH | RL_CALLER_PROXY | RL_CALLER_BROKER},
    {"remoteler.v1.Audit", "Search", RL_CALLER_USER | RL_CALLER_ROOT_USER | RL_CALLER_AUTH},
    {"remoteler.v1.Audit", "Heads", RL_CALLER_AUTH},
    {"remoteler.v1.Audit", "Ledger", RL_CALLER_USER},
    {"remoteler.v1.Audit", "WriteRecording", RL_CALLER_AGENT},
    {"remoteler.v1.Audit", "ListRecordings", RL_CALLER_USER | RL_CALLER_ROOT_USER},
    {"remoteler.v1.Audit", "Play", RL_CALLER_USER | RL_CALLER_ROOT_USER},
};

const struct rl_access_row *rl_access_table(size_t *count)
{
    *count = RL_COUNT(table);
    return table;
}

static const struct rl_access_row *find(const char *service, const char *method)
{
    for (size_t i = 0; i < RL_COUNT(table); i++)
        if (strcmp(table[i].service, service) == 0 && strcmp(table[i].method, method) == 0)
            return &table[i];
    return NULL;
}

static unsigned service_bit(const struct rl_identity *caller)
{
    static const struct {
        const char *service;
        unsigned bit;
    } bits[] = {
        {"auth", RL_CALLER_AUTH},
        {"proxy", RL_CALLER_PROXY},
        {"broker", RL_CALLER_BROKER},
        {"audit", RL_CALLER_AUDIT},
    };
    for (size_t i = 0; i < RL_COUNT(bits); i++)
        if (rl_identity_is_service(caller, bits[i].service))
            return bits[i].bit;
    return 0;
}

/* Of another cluster. Which of its kinds are believed at all is a matter of the authorities that
 * this one trusts: a root's users, a leaf's services. */
static unsigned foreign_bit(const struct rl_identity *caller)
{
    if (caller->kind == RL_IDENTITY_USER)
        return RL_CALLER_ROOT_USER;
    if (rl_identity_is_service(caller, "broker"))
        return RL_CALLER_LEAF_BROKER;
    return rl_identity_is_service(caller, "auth") ? RL_CALLER_LEAF_AUTH : 0;
}

static bool is_foreign(unsigned bit)
{
    return bit & (RL_CALLER_LEAF_BROKER | RL_CALLER_LEAF_AUTH | RL_CALLER_ROOT_USER);
}

/* The one bit that this caller has; 0: none, so no row takes it. */
static unsigned caller_bit(const char *cluster, const struct rl_identity *caller)
{
    if (strcmp(caller->cluster, cluster) != 0)
        return foreign_bit(caller);
    switch (caller->kind) {
    case RL_IDENTITY_USER:
        return RL_CALLER_USER;
    case RL_IDENTITY_AGENT:
        return RL_CALLER_AGENT;
    case RL_IDENTITY_SERVICE:
        return service_bit(caller);
    }
    return 0;
}

static rl_code refuse(const char *cluster, const struct rl_access_row *row,
                      const struct rl_identity *caller, struct rl_error *err)
{
    char *who = rl_identity_describe(caller);
    bool is_other = strcmp(caller->cluster, cluster) != 0;
    rl_fail(err, RL_E_DENIED, "%s%s%s may not call %s/%s", who, is_other ? " of cluster " : "",
            is_other ? caller->cluster : "", row->service, row->method);
    free(who);
    return RL_E_DENIED;
}

static bool is_renewal(const struct rl_access_row *row)
{
    return strcmp(row->service, "remoteler.v1.Fleet") == 0 && strcmp(row->method, "Renew") == 0;
}

rl_code rl_access_check(const char *cluster, const char *service, const char *method,
                        const struct rl_identity *caller, struct rl_error *err)
{
    const struct rl_access_row *row = find(service, method);
    if (!row)
        return rl_fail(err, RL_E_DENIED, "nobody may call %s/%s", service, method);
    if (!caller && (row->callers & RL_CALLER_ANONYMOUS))
        return RL_OK;
    if (!caller)
        return rl_fail(err, RL_E_UNAUTHENTICATED, "%s/%s needs a certificate", service, method);
    if (caller->is_retired && !is_renewal(row))
        return rl_fail(err, RL_E_UNAUTHENTICATED,
                       "this certificate is over, or its authority was rotated away: renew it");
    unsigned bit = caller_bit(cluster, caller);
    bool is_allowed =
        (row->callers & bit) || ((row->callers & RL_CALLER_ANONYMOUS) && bit && !is_foreign(bit));
    if (!is_allowed)
        return refuse(cluster, row, caller, err);
    /* made for one target and shown to the far end only (architecture, 8) */
    if (caller->kind == RL_IDENTITY_USER && (*caller->claims->target || *caller->claims->usage))
        return rl_fail(err, RL_E_DENIED, "this certificate is good for %s only, not for %s/%s",
                       *caller->claims->target ? caller->claims->target : caller->claims->usage,
                       service, method);
    return RL_OK;
}
