/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_timing_stored.c: a baseline whose times are kept from one timing to the next (timing.h), on a made-up device:
 * how often it runs, and that a device which became slower in between changes no speedup.
 */
#include "eval/timing.h"
#include "harness.h"
#include <math.h>

struct device {
    double reference_us, candidate_us, slowness;
    int n_reference, n_candidate;
};

static vt_status call(void *arg, bool is_reference, size_t set, uint64_t random, struct vt_check *out, vt_err *err)
{
    struct device *d = arg;
    (void)random, (void)err;
    const double us = (is_reference ? d->reference_us : d->candidate_us) * (1 + 0.05 * (double)set);
    *out = (struct vt_check){.end = VT_CHECK_RIGHT, .set = set, .ns = (uint64_t)(1e3 * us * d->slowness)};
    ++*(is_reference ? &d->n_reference : &d->n_candidate);
    return VT_OK;
}

static bool watch(void *arg, enum vt_watch what)
{
    (void)arg, (void)what;
    return false;
}

static void time_it(struct device *d, uint64_t *known_ns, struct vt_trials *out)
{
    vt_lease *lease = vt_lease_new();
    struct vt_turns turns = {0};
    const struct vt_place place = {.devices = 1};
    bool failed = false;
    struct vt_check failure;
    vt_err err = {0};
    d->n_reference = d->n_candidate = 0;
    const struct vt_timing_opts o = {.call = call,
                                     .watch = watch,
                                     .arg = d,
                                     .n_sets = 4,
                                     .lease = lease,
                                     .place = &place,
                                     .turns = &turns,
                                     .seed = 3,
                                     .min_pairs = 16,
                                     .max_pairs = 40,
                                     .precision = 0.002,
                                     .known_ns = known_ns,
                                     .close = 0.1,
                                     .min_close = 24,
                                     .budget_ms = 1000};
    CHECK_OK(vt_timing_run(&o, out, &failed, &failure, &err), err);
    CHECK(!failed);
    vt_lease_free(lease);
}

static void test_stored(void)
{
    static struct vt_trials t;
    uint64_t known[VT_MAX_TIMED_SETS] = {0};
    struct device d = {.reference_us = 3000, .candidate_us = 100, .slowness = 1};
    time_it(&d, known, &t);
    CHECK_INT(d.n_candidate, 16);
    CHECK_INT(d.n_reference, 5); /* each set once, and the second anchor */
    CHECK(fabs(t.log_ratio - log(30)) < 1e-4);
    /* Another candidate, the device 7 % slower: two anchors, and they carry the drift. */
    d.candidate_us = 50;
    d.slowness = 1.07;
    time_it(&d, known, &t);
    CHECK_INT(d.n_reference, 2);
    CHECK_INT(t.n_stored, t.n - 2);
    CHECK(fabs(t.log_ratio - log(60)) < 1e-4);
    CHECK_INT(known[0], 3000000); /* the fastest that was seen */
}

/* A small difference is not left to an anchor. */
static void test_close(void)
{
    static struct vt_trials t;
    uint64_t known[VT_MAX_TIMED_SETS] = {0};
    struct device d = {.reference_us = 100, .candidate_us = 97, .slowness = 1};
    for (int i = 0; i < 2; i++) {
        time_it(&d, known, &t);
        CHECK_INT(d.n_candidate, 24);
        CHECK(d.n_reference >= 23); /* the first pair's difference is not known before it */
        CHECK(fabs(t.log_ratio - log(100.0 / 97)) < 1e-4);
    }
}

static void test_never(void)
{
    static struct vt_trials t;
    struct device d = {.reference_us = 300, .candidate_us = 100, .slowness = 1};
    time_it(&d, NULL, &t);
    CHECK_INT(d.n_reference, 16);
    CHECK_INT(t.n_stored, 0);
}

static const struct test_case cases[] = {TEST(test_stored), TEST(test_close), TEST(test_never)};
TEST_MAIN(cases)
