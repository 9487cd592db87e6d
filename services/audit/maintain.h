/* maintain: the owner's job as a command of its own, for where the service is not given that role.
 */
#ifndef RL_AUDIT_MAINTAIN_H
#define RL_AUDIT_MAINTAIN_H

/** The exit status. */
int rl_audit_maintain_main(int argc, char **argv);

#endif
