/* policy_keeper: a policy is taken only if auth signed it for this agent and it is not older than
 * what was held before. An agent without a floor sends a nonce and decides nothing until auth has
 * signed it, so that nobody can hand it last year's policy.
 */
#include "policy_keeper.h"

#include "bytes/secret.h"
#include "log/log.h"
#include "remoteler/v1/ledger.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define NONCE_BYTES 16

struct policy_keeper {
    struct agent *agent;
    struct rl_policy *policy;
    uint64_t floor_version;
    uint8_t nonce[NONCE_BYTES]; /* asked for while there is no floor */
    uint8_t hash[32];
    int64_t statement_ns;
    uint64_t statement_boot_ms; /* when it came */
    uint64_t statement_version;
    struct policy_audit_head audit_head;
};

static struct rl_policy_expect expectation(const struct policy_keeper *keeper)
{
    const struct rl_enrol *enrol = keeper->agent->enrol;
    const Pb__TrustBundle *bundle = rl_enrol_bundle(enrol);
    return (struct rl_policy_expect){
        .cluster = rl_enrol_cluster(enrol),
        .agent_id = rl_enrol_id(enrol),
        .floor_version = keeper->floor_version,
        .nonce = RL_SPAN(keeper->nonce, keeper->floor_version ? 0 : NONCE_BYTES),
        .keys = {bundle->n_policy_keys, bundle->policy_keys},
    };
}

static void hold(struct policy_keeper *keeper, struct rl_policy *policy)
{
    rl_policy_unref(&keeper->policy);
    keeper->policy = policy;
    keeper->floor_version = rl_policy_version(policy);
    rl_policy_hash(policy, keeper->hash);
}

/* What is on our own disk was verified when it came: it needs no nonce, but its signature still
 * counts. */
static void load(struct policy_keeper *keeper)
{
    struct rl_error err;
    struct rl_buf packed;
    rl_buf_init(&packed, RL_POLICY_BYTES_MAX);
    rl_code rc = rl_enrol_load(keeper->agent->enrol, RL_AGENT_POLICY_FILE, RL_POLICY_BYTES_MAX,
                               &packed, &err);
    if (rc == RL_OK) {
        struct rl_policy_expect expect = expectation(keeper);
        expect.nonce = RL_SPAN(NULL, 0);
        struct rl_policy *policy = NULL;
        rc = rl_policy_load(rl_buf_span(&packed), &expect, &policy, &err);
        if (rc == RL_OK) {
            hold(keeper, policy);
            rl_trusted_clock_raise(&keeper->agent->clock, rl_policy_time_ns(policy));
        }
    }
    if (rc != RL_OK && rc != RL_E_NOT_FOUND)
        rl_log_warn("the policy on disk is not used", RL_TEXT("reason", err.message));
    rl_buf_fini(&packed);
}

struct policy_keeper *policy_keeper_create(struct agent *agent)
{
    struct policy_keeper *keeper = rl_alloc(sizeof *keeper);
    keeper->agent = agent;
    rl_random(keeper->nonce, sizeof keeper->nonce);
    load(keeper);
    return keeper;
}

void policy_keeper_free(struct policy_keeper **keeper)
{
    if (!*keeper)
        return;
    rl_policy_unref(&(*keeper)->policy);
    free(*keeper);
    *keeper = NULL;
}

void policy_keeper_fill_hello(struct policy_keeper *keeper, Pb__Hello *hello)
{
    if (keeper->policy) {
        hello->policy_version = rl_policy_version(keeper->policy);
        hello->policy_sha256 = (ProtobufCBinaryData){sizeof keeper->hash, keeper->hash};
    }
    /* Who has not heard the time from auth yet wants it now: the statement of the minute, which
     * comes with the next connection, is up to a minute old, and so were what is told of that one.
     */
    if (!keeper->floor_version || rl_trusted_clock_age_s(&keeper->agent->clock) < 0)
        hello->policy_nonce = (ProtobufCBinaryData){sizeof keeper->nonce, keeper->nonce};
}

static void save(const struct policy_keeper *keeper)
{
    struct rl_error err;
    struct rl_buf packed;
    rl_buf_init(&packed, RL_POLICY_BYTES_MAX);
    if (rl_policy_pack(keeper->policy, &packed, &err) != RL_OK ||
        rl_enrol_save(keeper->agent->enrol, RL_AGENT_POLICY_FILE, rl_buf_span(&packed), &err) !=
            RL_OK)
        rl_log_warn("the policy could not be saved; it is asked for again after a restart",
                    RL_TEXT("reason", err.message));
    rl_buf_fini(&packed);
}

rl_code policy_keeper_update(struct policy_keeper *keeper, const Pb__PolicyUpdate *update,
                             struct rl_error *err)
{
    struct rl_policy_expect expect = expectation(keeper);
    struct rl_policy *policy = NULL;
    rl_code rc = rl_policy_apply(keeper->policy, update, &expect, &policy, err);
    if (rc != RL_OK)
        return rc;
    hold(keeper, policy);
    rl_trusted_clock_learn(&keeper->agent->clock, rl_policy_time_ns(policy));
    save(keeper);
    rl_log_info("policy held", RL_NUMBER("version", rl_policy_version(policy)),
                RL_NUMBER("entries", rl_policy_entry_count(policy)));
    return RL_OK;
}

/* What auth has signed over the audit log leaves its database here: whoever sets the log back and
 * goes on is found out by those who have heard of it. */
static void remember_audit_head(struct policy_keeper *keeper, const ProtobufCBinaryData *packed)
{
    Pb__AuditHead *head = pb__audit_head__unpack(NULL, packed->len, packed->data);
    struct policy_audit_head *known = &keeper->audit_head;
    if (head && head->sha256.len == sizeof known->sha256) {
        bool is_same = memcmp(head->sha256.data, known->sha256, sizeof known->sha256) == 0;
        /* A lower number says nothing: replicas of auth learn of the latest in their own time. */
        if (head->number == known->number && !is_same)
            rl_log_error("the audit log was replaced: auth has signed another checkpoint before; "
                         "run `tctl audit verify`",
                         RL_NUMBER("number", known->number));
        if (head->number > known->number) {
            known->number = head->number;
            memcpy(known->sha256, head->sha256.data, sizeof known->sha256);
        }
    }
    if (head)
        pb__audit_head__free_unpacked(head, NULL);
}

rl_code policy_keeper_hear(struct policy_keeper *keeper, const Pb__SignedStatement *statement,
                           struct rl_error *err)
{
    struct rl_policy_expect expect = expectation(keeper);
    Pb__Statement *heard = NULL;
    rl_code rc = rl_statement_verify(statement, expect.cluster, expect.keys, &heard, err);
    if (rc != RL_OK)
        return rc;
    /* Brokers repeat the latest; an older one than what we know says nothing new. */
    if (heard->time_ns > keeper->statement_ns) {
        keeper->statement_ns = heard->time_ns;
        keeper->statement_boot_ms = rl_clock_boot_ms();
        if (heard->audit_head.len)
            remember_audit_head(keeper, &heard->audit_head);
        rl_trusted_clock_learn(&keeper->agent->clock, heard->time_ns);
    }
    if (heard->policy_version > keeper->statement_version)
        keeper->statement_version = heard->policy_version;
    pb__statement__free_unpacked(heard, NULL);
    return RL_OK;
}

bool policy_keeper_is_behind(const struct policy_keeper *keeper)
{
    return !keeper->policy || keeper->statement_version > rl_policy_version(keeper->policy);
}

const struct rl_policy *policy_keeper_policy(const struct policy_keeper *keeper)
{
    return keeper->policy;
}

int64_t policy_keeper_statement_age_s(const struct policy_keeper *keeper)
{
    if (!keeper->statement_ns)
        return -1;
    int64_t since_signed = (agent_now_ns(keeper->agent) - keeper->statement_ns) / 1000000000;
    int64_t since_heard = (int64_t)((rl_clock_boot_ms() - keeper->statement_boot_ms) / 1000);
    return since_signed > since_heard ? since_signed : since_heard;
}

uint64_t policy_keeper_statement_version(const struct policy_keeper *keeper)
{
    return keeper->statement_version;
}

void policy_keeper_held(const struct policy_keeper *keeper, Pb__PolicyHeld *held,
                        uint8_t sha256[32])
{
    held->version = keeper->floor_version;
    memcpy(sha256, keeper->hash, 32);
    held->sha256 = (ProtobufCBinaryData){32, sha256};
}

struct policy_audit_head policy_keeper_audit_head(const struct policy_keeper *keeper)
{
    return keeper->audit_head;
}
