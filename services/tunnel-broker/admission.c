#include "admission.h"

#define BURST_S 2

void admission_init(struct admission *a, uint32_t rate, uint64_t now_ms)
{
    RL_ASSERT(rate > 0);
    *a = (struct admission){
        .rate = rate, .tokens_milli = (uint64_t)rate * 1000 * BURST_S, .last_ms = now_ms};
}

bool admission_take(struct admission *a, uint64_t now_ms, uint32_t max_ms, uint32_t *come_back_ms)
{
    uint64_t most = (uint64_t)a->rate * 1000 * BURST_S;
    uint64_t passed_ms = now_ms > a->last_ms ? now_ms - a->last_ms : 0;
    a->last_ms = now_ms > a->last_ms ? now_ms : a->last_ms;
    uint64_t earned = passed_ms > BURST_S * 1000 ? most : passed_ms * a->rate;
    a->tokens_milli = a->tokens_milli + earned > most ? most : a->tokens_milli + earned;
    if (a->tokens_milli >= 1000) {
        a->tokens_milli -= 1000;
        a->turned_away = a->tokens_milli >= most / 2 ? 0 : a->turned_away;
        return true;
    }
    /* Each one that is turned away is given the place after the one before it. */
    a->turned_away++;
    uint64_t later = 1000 + a->turned_away * 1000 / a->rate;
    *come_back_ms = later > max_ms ? max_ms : (uint32_t)later;
    return false;
}
