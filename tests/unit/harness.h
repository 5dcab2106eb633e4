/* SPDX-License-Identifier: Apache-2.0
 *
 * harness.h: the whole unit-test harness. A test program is a list of functions run by TEST_MAIN; CHECK macros print
 * both operands and count. The closing line `N passed, N failed` counts test functions; the exit code is 0 when none
 * failed. A test that needs what this machine lacks calls SKIP("why") and is counted apart. SIGQUIT, which selftest
 * sends at a test's deadline, names the case that hangs.
 */
#ifndef VT_TEST_HARNESS_H
#define VT_TEST_HARNESS_H

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int test_failures_in_case;
static const char *test_skipped_why;
static const char *volatile test_running;

#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            printf("  %s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #cond);                                          \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)
#define CHECK_INT(a, b)                                                                                                \
    do {                                                                                                               \
        long long ca_ = (long long)(a), cb_ = (long long)(b);                                                          \
        if (ca_ != cb_) {                                                                                              \
            printf("  %s:%d: %s = %lld, expected %s = %lld\n", __FILE__, __LINE__, #a, ca_, #b, cb_);                  \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)
#define CHECK_STR(a, b)                                                                                                \
    do {                                                                                                               \
        const char *ca_ = (a), *cb_ = (b);                                                                             \
        if (!ca_ || !cb_ || strcmp(ca_, cb_) != 0) {                                                                   \
            printf("  %s:%d: %s = \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #a, ca_ ? ca_ : "(null)",            \
                   cb_ ? cb_ : "(null)");                                                                              \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)
/* |a - b| <= tol; NaN fails. */
#define CHECK_NEAR(a, b, tol)                                                                                          \
    do {                                                                                                               \
        double ca_ = (double)(a), cb_ = (double)(b), ct_ = (double)(tol);                                              \
        if (!(fabs(ca_ - cb_) <= ct_)) {                                                                               \
            printf("  %s:%d: %s = %.17g, expected %.17g within %.3g\n", __FILE__, __LINE__, #a, ca_, cb_, ct_);        \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)
#define CHECK_OK(call, err)                                                                                            \
    do {                                                                                                               \
        int cs_ = (int)(call);                                                                                         \
        if (cs_ != 0) {                                                                                                \
            printf("  %s:%d: %s returned %d: %s\n", __FILE__, __LINE__, #call, cs_, (err).msg);                        \
            test_failures_in_case++;                                                                                   \
        }                                                                                                              \
    } while (0)
#define SKIP(why)                                                                                                      \
    do {                                                                                                               \
        test_skipped_why = (why);                                                                                      \
        return;                                                                                                        \
    } while (0)

struct test_case {
    const char *name;
    void (*fn)(void);
};
#define TEST(fn)                                                                                                       \
    {                                                                                                                  \
#fn, fn                                                                                                        \
    }

static inline void test_hung(int signo)
{
    const char *name = test_running;
    (void)signo;
    (void)!write(STDOUT_FILENO, "FAIL ", 5);
    (void)!write(STDOUT_FILENO, name, strlen(name));
    (void)!write(STDOUT_FILENO, ": still running at the deadline\n", 32);
    _exit(1);
}

static inline int test_main(const struct test_case *cases, size_t n, int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < n; i++) {
        if (argc > 1 && !strstr(cases[i].name, argv[1]))
            continue;
        test_failures_in_case = 0;
        test_skipped_why = NULL;
        test_running = cases[i].name;
        signal(SIGQUIT, test_hung);
        cases[i].fn();
        if (test_failures_in_case) {
            printf("FAIL %s\n", cases[i].name);
            failed++;
        } else if (test_skipped_why) {
            printf("skip %s: %s\n", cases[i].name, test_skipped_why);
            skipped++;
        } else {
            passed++;
        }
    }
    printf("%d passed, %d failed", passed, failed);
    if (skipped)
        printf(", %d skipped", skipped);
    printf("\n");
    return failed ? 1 : 0;
}
#define TEST_MAIN(cases)                                                                                               \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        return test_main(cases, sizeof cases / sizeof cases[0], argc, argv);                                           \
    }

#endif
