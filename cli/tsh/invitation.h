/* invitation: https://HOST[:PORT]/invite/TOKEN[#PIN]. What follows # never leaves this machine and
 * says whom to believe.
 */
#ifndef TSH_INVITATION_H
#define TSH_INVITATION_H

#include "status/status.h"

struct tsh_invitation {
    char *proxy; /* HOST:PORT */
    char *token;
    char *pin; /* NULL: the URL names none */
};

/** Errors: RL_E_INVAL. Owns: by tsh_invitation_fini(), which wipes the token. */
rl_code tsh_invitation_parse(const char *url, struct tsh_invitation *out, struct rl_error *err);
void tsh_invitation_fini(struct tsh_invitation *invitation);

#endif
