#include "guests.h"

#include "policy_keeper.h"
#include "status/memory.h"

#include <stdlib.h>
#include <string.h>

struct guest {
    struct guest *next, **at;
    struct agent *agent;
    Pb__Guest *who;
    uint32_t sessions; /* open now */
};

static Pb__Guest *copy_of(const Pb__Guest *who)
{
    size_t n = pb__guest__get_packed_size(who);
    uint8_t *packed = rl_alloc(n + 1);
    pb__guest__pack(who, packed);
    Pb__Guest *copy = pb__guest__unpack(NULL, n, packed);
    RL_NEED_MEMORY(copy, 0);
    free(packed);
    return copy;
}

static rl_code check(const struct agent *agent, const Pb__Guest *who, struct rl_error *err)
{
    const struct rl_policy_ssh ask = {
        .claims = who->claims,
        .authority = RL_SPAN(who->authority.data, who->authority.len),
        .node_id = rl_enrol_id(agent->enrol),
        .login = who->login,
        .client_address = who->client_address,
        .now_ns = agent_now_ns(agent),
    };
    return rl_policy_check_stops(policy_keeper_policy(agent->policy), &ask, err);
}

rl_code guest_enter(struct agent *agent, const Pb__Guest *who, struct guest **out,
                    struct rl_error *err)
{
    if (!who->claims || !who->claims->user[0] || !who->login[0])
        return rl_fail(err, RL_E_INVAL, "nobody was named");
    rl_code rc = check(agent, who, err);
    if (rc != RL_OK)
        return rc;
    struct guest *guest = rl_alloc(sizeof *guest);
    guest->agent = agent;
    guest->who = copy_of(who);
    guest->next = agent->guests;
    guest->at = &agent->guests;
    if (guest->next)
        guest->next->at = &guest->next;
    agent->guests = guest;
    *out = guest;
    return RL_OK;
}

void guest_leave(struct guest **guest)
{
    struct guest *g = *guest;
    if (!g)
        return;
    *g->at = g->next;
    if (g->next)
        g->next->at = g->at;
    pb__guest__free_unpacked(g->who, NULL);
    free(g);
    *guest = NULL;
}

static bool is_same_user(const struct guest *a, const struct guest *b)
{
    const Pb__IdentityClaims *x = a->who->claims, *y = b->who->claims;
    return strcmp(x->user, y->user) == 0 && strcmp(x->cluster, y->cluster) == 0;
}

rl_code guest_begin_session(struct guest *guest, struct rl_error *err)
{
    uint32_t there = 0;
    for (const struct guest *g = guest->agent->guests; g; g = g->next)
        if (is_same_user(g, guest))
            there += g->sessions;
    if (guest->who->max_sessions && there >= guest->who->max_sessions)
        return rl_fail(err, RL_E_DENIED,
                       "access denied: your roles allow %u session%s at once on this node",
                       guest->who->max_sessions, guest->who->max_sessions == 1 ? "" : "s");
    guest->sessions++;
    return RL_OK;
}

void guest_ended_session(struct guest *guest)
{
    if (guest->sessions)
        guest->sessions--;
}

rl_code guest_check(const struct guest *guest, struct rl_error *err)
{
    return check(guest->agent, guest->who, err);
}
