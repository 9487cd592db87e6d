#ifndef TCTL_TESTS_RUN_H
#define TCTL_TESTS_RUN_H

#include <check.h>

static inline int run_suite(TCase *t, const char *name)
{
    Suite *s = suite_create(name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif
