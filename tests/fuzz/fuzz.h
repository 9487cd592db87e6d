/* fuzz: what a fuzz target may ask of the program that drives it. */
#ifndef RL_TESTS_FUZZ_H
#define RL_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Memory was refused to this run (tests/memory): what needs some may fail now. What must never be
 * let through must not be let through then either. libFuzzer's own program has none of it. */
bool fuzz_is_starved(void) __attribute__((weak));

/** What holds unless memory was refused. */
#define FUZZ_EXPECT(claim) RL_ASSERT((claim) || (fuzz_is_starved && fuzz_is_starved()))

#endif
