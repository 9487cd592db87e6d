/* roots: this cluster as a leaf. To each root that auth names the broker keeps two connections, as
 * an agent does, and answers there what is asked for the root's users: nodes that are registered
 * here, this cluster's auth and its audit, and nothing else. What the root says is checked, and
 * relayed to auth; what its users may see auth decides. docs/decisions/0022.
 */
#ifndef BROKER_ROOTS_H
#define BROKER_ROOTS_H

#include "../internal.h"

struct roots;
struct roots *roots_create(struct broker *broker);
/** Cuts what is there, at once. */
void roots_free(struct roots **roots);
/** Auth's list of clusters is another. */
void roots_changed(struct roots *roots);
/** The broker has a new certificate. */
void roots_renewed(struct roots *roots);
/** This broker goes away: nothing more is answered. */
void roots_leave(struct roots *roots);

/* ---- errands: what relay.c tells of a hop that has one ---- */

/** Somebody has come for what was dialled: the call to the root is opened. False: it is gone. The
 * errand is over. */
bool errand_came(struct errand *errand);
/** Nobody came, and why. It may be over after it. */
void errand_failed(struct errand *errand, rl_code code, const char *message);
/** The way that a hop went is not needed any more. */
void ways_release(struct way **way);

#endif
