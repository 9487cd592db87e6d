/* admission: a token bucket. After a restart a hundred thousand agents come at once; each is let in
 * or told when to come back, so that those who are in can be served. Pure.
 */
#ifndef BROKER_ADMISSION_H
#define BROKER_ADMISSION_H

#include "status/status.h"

#include <stdint.h>

struct admission {
    uint32_t rate;         /* a second */
    uint64_t tokens_milli; /* thousandths */
    uint64_t last_ms;
    uint64_t turned_away; /* since tokens were left last: how long the queue would be */
};

void admission_init(struct admission *admission, uint32_t rate, uint64_t now_ms);
/** True: come in. False: come back after *come_back_ms, at most `max_ms`. */
bool admission_take(struct admission *admission, uint64_t now_ms, uint32_t max_ms,
                    uint32_t *come_back_ms);

#endif
