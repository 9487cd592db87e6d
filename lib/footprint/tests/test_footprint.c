#include "footprint/footprint.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* kB of files in this process's memory. */
static long resident_file_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "RssFile:", 8) == 0)
            kb = strtol(line + 8, NULL, 10);
    if (file)
        fclose(file);
    return kb;
}

#define BALLAST_BYTES (4 << 20)
static const char ballast[BALLAST_BYTES] = "of the program's own file";
static int written = 7;
static const char *const relocated[] = {"one", "two"};

START_TEST(gives_back_what_is_not_needed_and_keeps_what_was_written)
{
    char *kept = strdup("on the heap");
    written = 42;
    const volatile char *read = ballast;
    int sum = 0;
    for (size_t i = 0; i < sizeof ballast; i += 4096)
        sum += read[i];
    ck_assert_int_eq(sum, 'o');
    long before = resident_file_kb();
    rl_footprint_trim();
    long after = resident_file_kb();
    ck_assert_msg(after >= 0 && after < before - BALLAST_BYTES / 2048, "%ld kB, then %ld kB",
                  before, after);
    ck_assert_int_eq(written, 42);
    ck_assert_str_eq(relocated[1], "two");
    ck_assert_int_eq(read[1], 'f');
    ck_assert_str_eq(kept, "on the heap");
    free(kept);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("footprint");
    tcase_add_test(t, gives_back_what_is_not_needed_and_keeps_what_was_written);
    Suite *s = suite_create("footprint");
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
