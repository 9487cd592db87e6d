/* memory: the end of a process that is refused some, for what did not come from rl_alloc().
 * docs/decisions/0018. */
#ifndef RL_STATUS_MEMORY_H
#define RL_STATUS_MEMORY_H

#include <stddef.h>

/** What a library allocated, or was to keep: there is no going on without it, and no other reason
 * why it is not there. `bytes`: 0 when they are not known. */
#define RL_NEED_MEMORY(p, bytes) ((p) ? (void)0 : rl_no_memory(bytes))
_Noreturn void rl_no_memory(size_t bytes);

#endif
