/* admission: what happens between a ticket that arrives and a connection that is served: is it a
 * proxy's, or a broker's for who comes from a root, for us, fresh, once; is our policy as new as
 * auth says it is? An agent that is behind waits for its policy first.
 */
#ifndef RL_AGENT_ADMISSION_H
#define RL_AGENT_ADMISSION_H

#include "agent.h"

#define ADMISSION_WAITING_MAX 256
#define ADMISSION_WAIT_MS 5000

struct admission;
struct admission *admission_create(struct agent *agent);
void admission_free(struct admission **admission);

/** Who was let in; borrowed. */
struct admission_guest {
    const Pb__Ticket *ticket;
    const char *dialler; /* whose connection it is: a proxy's id, for a root's "ROOT/ID" */
    int fd; /* the agent's end of the connection's byte stream, the callee's now; -1: the ticket
               resumes a session, which has one */
};
/** RL_OK and the guest, or why not. Once, now or later. */
typedef void (*admission_fn)(void *context, const struct admission_guest *guest, rl_code code,
                             const char *message);
struct admission_request;
/** *out is NULL when fn was called already. `statement` may be NULL (a direct node hears them on
 * its own connection to auth). */
void admission_ask(struct admission *admission, const Pb__SignedTicket *ticket,
                   const Pb__SignedStatement *statement, admission_fn fn, void *context,
                   struct admission_request **out);
/** Not wanted any more: fn is not called. */
void admission_cancel(struct admission *admission, struct admission_request **request);
/** A newer policy is held: those who wait are looked at again. */
void admission_policy_changed(struct admission *admission);

#endif
