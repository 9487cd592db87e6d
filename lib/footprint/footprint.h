/* footprint: gives back memory that starting took and running does not need: pages of the program's
 * own file that were read once, free pages of the heap. What is needed again comes again, from the
 * page cache, in small pieces.
 */
#ifndef RL_FOOTPRINT_H
#define RL_FOOTPRINT_H

/** Costs some system calls, and page faults afterwards: when a process has begun to wait. */
void rl_footprint_trim(void);

#endif
