/* SPDX-License-Identifier: Apache-2.0
 *
 * no_memory.h: every allocation of a call fails in turn. fail_each runs a call with its first allocation failing, then
 * with its second, until one run makes fewer. Each of those runs must return VT_ENOMEM with a message (a call that may
 * do without memory says so: MAY_SUCCEED), and afterwards the same call must succeed. A call that leaves something
 * behind gets a `reset`, so that it does not make more allocations from try to try and the count ends. Crashes show
 * themselves; leaks and bad accesses do under AddressSanitizer (selftest --sanitize). Of a call with hundreds of
 * allocations, most of them in loops, every seventh is tried from the five hundredth on; selftest --full tries all.
 */
#ifndef VT_TEST_NO_MEMORY_H
#define VT_TEST_NO_MEMORY_H

#include "base/alloc.h"
#include "harness.h"
#include <vegttt/err.h>

#ifndef NO_MEMORY_DENSE
#define NO_MEMORY_DENSE 500
#endif
enum { NO_MEMORY_STRIDE = 7 };

/* Makes one call and releases what it gave. */
typedef vt_status no_memory_fn(void *arg, vt_err *err);
enum no_memory_rule { MUST_FAIL, MAY_SUCCEED };

static long no_memory_points, no_memory_calls;

static inline void fail_each_from(const char *what, void (*reset)(void), no_memory_fn *fn, void *arg,
                                  enum no_memory_rule rule)
{
    const long stride = getenv("VEGTTT_FULL") ? 1 : NO_MEMORY_STRIDE;
    vt_err err = {0};
    long k = 1, n_tried = 0;
    for (;; k += k < NO_MEMORY_DENSE ? 1 : stride, n_tried++) {
        err = (vt_err){0};
        if (reset)
            reset();
        vt_alloc_fail_at(k);
        vt_status status = fn(arg, &err);
        if (vt_alloc_fail_at(0) > 0) { /* the call made fewer than k allocations */
            if (status != VT_OK) {
                printf("  %s: failed without a failing allocation: %s\n", what, err.msg);
                test_failures_in_case++;
            }
            break;
        }
        bool is_right = status == VT_ENOMEM ? err.msg[0] != '\0' : rule == MAY_SUCCEED && status == VT_OK;
        if (!is_right) {
            printf("  %s: allocation %ld failed and it returned %s \"%s\"\n", what, k, vt_status_name(status), err.msg);
            test_failures_in_case++;
        }
        if (k > 1000000) {
            printf("  %s: has no last allocation\n", what);
            test_failures_in_case++;
            break;
        }
    }
    if (getenv("VEGTTT_VERBOSE"))
        printf("%6ld allocations failed in %s\n", n_tried, what);
    no_memory_points += n_tried;
    no_memory_calls++;
}

static inline void fail_each(const char *what, no_memory_fn *fn, void *arg, enum no_memory_rule rule)
{
    fail_each_from(what, NULL, fn, arg, rule);
}

/* For calls that return NULL when memory is out. */
#define NULL_IS_NO_MEMORY(pointer, err) ((pointer) ? VT_OK : vt_fail((err), VT_ENOMEM, "NULL"))

static void no_memory_total(void)
{
    printf("%ld allocations failed one at a time, in %ld calls\n", no_memory_points, no_memory_calls);
    CHECK(no_memory_points > 0);
}

#endif
