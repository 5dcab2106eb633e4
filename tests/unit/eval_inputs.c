/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_inputs.c: input sets are pure functions of their key, sets share nothing, and every distribution has the
 * property it exists for (moments, offsets, tiny and constant rows, needles, ties, cancelling neighbours,
 * probabilities, labels in range, masks, triangles).
 */
#include "eval/c/pool.h"
#include "eval_tasks.h"

enum { ROWS = 48, COLS = 512, N = ROWS * COLS };

static vt_task *make_task(const char *dtype, const char *dist, const char *extra)
{
    char text[2048];
    vt_err err = {0};
    vt_task *t = NULL;
    snprintf(text, sizeof text,
             "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"test\","
             "\"sizes\":{\"cpu\":{\"n\":%d,\"m\":%d}},\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"%s\","
             "\"shape\":[\"n\",\"m\"],\"dist\":[\"%s\"]%s},{\"name\":\"y\",\"role\":\"out\",\"shape\":[\"n\"]}],"
             "\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"y[0] = x[0];\"}",
             ROWS, COLS, dtype, dist, extra);
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    return t;
}

static void fill_dist(const char *dist, int number, const char *extra, uint64_t key, uint64_t set, float *x)
{
    vt_err err = {0};
    vt_task *t = make_task("f32", dist, extra);
    void *buf[2] = {x, NULL};
    if (t)
        CHECK_OK(vt_inputs_fill(t, "cpu", key, set, number, 0, buf, &err), err);
    vt_task_unref(t);
}

static void fill(const char *dist, const char *extra, uint64_t key, uint64_t set, float *x)
{
    fill_dist(dist, 0, extra, key, set, x);
}

struct moments {
    double mean, sd, min, max;
};

static struct moments moments_of(const float *x, size_t n)
{
    struct moments m = {0, 0, INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        m.mean += (double)x[i] / (double)n;
        m.min = fmin(m.min, (double)x[i]);
        m.max = fmax(m.max, (double)x[i]);
    }
    for (size_t i = 0; i < n; i++)
        m.sd += pow((double)x[i] - m.mean, 2) / (double)n;
    m.sd = sqrt(m.sd);
    return m;
}

static float x[N], z[N];

static void sets_are_functions_of_their_key(void)
{
    size_t n_same_set = 0, n_same_key = 0, n_same_dist = 0;
    fill("normal", "", 1, 2, x);
    fill("normal", "", 1, 2, z);
    CHECK(memcmp(x, z, sizeof x) == 0);
    fill("normal", "", 1, 3, z);
    for (size_t i = 0; i < N; i++)
        n_same_set += x[i] == z[i];
    fill("normal", "", 9, 2, z);
    for (size_t i = 0; i < N; i++)
        n_same_key += x[i] == z[i];
    fill_dist("normal\",\"normal", 0, "", 1, 2, x);
    fill_dist("normal\",\"normal", 1, "", 1, 2, z);
    for (size_t i = 0; i < N; i++)
        n_same_dist += x[i] == z[i];
    CHECK(n_same_set < 20 && n_same_key < 20 && n_same_dist < 20);
}

static void uniform_and_normal_have_their_moments(void)
{
    struct moments m;
    int bins[16] = {0};
    fill("uniform", "", 5, 0, x);
    m = moments_of(x, N);
    CHECK(m.min >= 0 && m.max < 1);
    CHECK_NEAR(m.mean, 0.5, 0.01);
    CHECK_NEAR(m.sd, 0.28868, 0.005);
    for (size_t i = 0; i < N; i++)
        bins[(int)(x[i] * 16)]++;
    for (int b = 0; b < 16; b++)
        CHECK_NEAR(bins[b], N / 16.0, 6 * sqrt(N / 16.0));
    double serial = 0;
    for (size_t i = 0; i + 1 < N; i++)
        serial += ((double)x[i] - 0.5) * ((double)x[i + 1] - 0.5) * 12 / N;
    CHECK_NEAR(serial, 0, 0.03);
    fill("normal", "", 5, 0, x);
    m = moments_of(x, N);
    CHECK_NEAR(m.mean, 0, 0.03);
    CHECK_NEAR(m.sd, 1, 0.02);
    CHECK(m.min < -3 && m.max > 3);
    fill("kaiming", ",\"fan_in\":\"16\"", 5, 0, x);
    m = moments_of(x, N);
    CHECK_NEAR(m.max, 0.25, 0.001);
    CHECK_NEAR(m.min, -0.25, 0.001);
}

/* How many rows satisfy a property that the distribution promises for some or all of them. */
static int rows_where(bool (*holds)(const struct moments *m, const float *row))
{
    int n = 0;
    for (int r = 0; r < ROWS; r++) {
        struct moments m = moments_of(x + r * COLS, COLS);
        n += holds(&m, x + r * COLS);
    }
    return n;
}

static bool is_tiny(const struct moments *m, const float *row)
{
    (void)row;
    return m->max < 0.01 && m->min > -0.01;
}

static bool is_constant(const struct moments *m, const float *row)
{
    (void)row;
    return m->max == m->min && m->max != 0;
}

static bool has_needle(const struct moments *m, const float *row)
{
    int n = 0;
    for (int i = 0; i < COLS; i++)
        n += fabsf(row[i]) > 290;
    return n == 1 && fmax(m->max, -m->min) > 290;
}

static bool is_shifted_away(const struct moments *m, const float *row)
{
    (void)row;
    return fabs(m->mean) > 3 && fabs(m->sd - 1) < 0.3;
}

static bool has_other_scale(const struct moments *m, const float *row)
{
    (void)row;
    return m->sd > 5 || m->sd < 0.2;
}

static bool sums_to_one(const struct moments *m, const float *row)
{
    (void)row;
    return fabs(m->mean * COLS - 1) < 1e-5 && m->min > 0;
}

static bool has_ties(const struct moments *m, const float *row)
{
    int n = 0;
    for (int i = 0; i < COLS; i++)
        n += (double)row[i] == m->max;
    return n >= 1 && fabsf(row[0] * 2 - rintf(row[0] * 2)) == 0;
}

static bool cancels(const struct moments *m, const float *row)
{
    double large = 0, small = 0;
    (void)m;
    for (int i = 0; i < COLS; i += 2) {
        large += fabs((double)row[i]);
        small += fabs((double)row[i] + (double)row[i + 1]);
    }
    return small < 0.05 * large;
}

static void structured_rows_are_what_they_claim(void)
{
    static const struct {
        const char *dist;
        bool (*holds)(const struct moments *m, const float *row);
        int min, max;
    } cases[] = {{"tiny", is_tiny, ROWS * 2 / 3, ROWS * 2 / 3},
                 {"normal", is_tiny, 0, 0},
                 {"constant", is_constant, ROWS, ROWS},
                 {"flat", is_constant, ROWS, ROWS},
                 {"needle", has_needle, ROWS, ROWS},
                 {"offset", is_shifted_away, ROWS / 2, ROWS},
                 {"rowscale", has_other_scale, ROWS / 3, ROWS},
                 {"probs", sums_to_one, ROWS, ROWS},
                 {"peaked", sums_to_one, ROWS, ROWS},
                 {"even", sums_to_one, ROWS, ROWS},
                 {"ties", has_ties, ROWS, ROWS},
                 {"cancel", cancels, ROWS, ROWS}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fill(cases[i].dist, "", 11, 0, x);
        int n = rows_where(cases[i].holds);
        if (n < cases[i].min || n > cases[i].max)
            printf("  %s: %d of %d rows\n", cases[i].dist, n, ROWS);
        CHECK(n >= cases[i].min && n <= cases[i].max);
    }
    fill("flat", "", 11, 0, x);
    CHECK(x[0] == x[N - 1]);
    fill("constant", "", 11, 0, x);
    CHECK(moments_of(x, N).sd > 0);
    fill("edges", "", 11, 0, x);
    struct moments m = moments_of(x, N);
    CHECK(m.max >= 20 && m.min <= -20);
}

static void blocks_replace_rows(void)
{
    fill("constant", ",\"block\":\"4 * m\"", 3, 0, x);
    for (int r = 0; r < ROWS; r++)
        CHECK(x[r * COLS] == x[r / 4 * 4 * COLS]);
}

static void triangles_and_symmetry_are_kept(void)
{
    fill("normal", ",\"keep\":\"upper\"", 3, 0, x);
    fill("normal", ",\"keep\":\"lower\"", 3, 0, z);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++) {
            CHECK((x[i * COLS + j] == 0) == (j < i));
            CHECK((z[i * COLS + j] == 0) == (j > i));
        }
    fill("normal", ",\"keep\":\"symmetric\"", 3, 0, x);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < ROWS; j++)
            CHECK(x[i * COLS + j] == x[j * COLS + i]);
}

static void integers_are_in_range(void)
{
    static int64_t label[N];
    static unsigned char mask[N];
    vt_err err = {0};
    int n_top = 0, n_set = 0;
    vt_task *t = make_task("i64", "labels", ",\"max\":\"m\"");
    void *buf[2] = {label, NULL};
    if (t)
        CHECK_OK(vt_inputs_fill(t, "cpu", 1, 0, 0, 0, buf, &err), err);
    for (size_t i = 0; i < N; i++) {
        CHECK(label[i] >= 0 && label[i] < COLS);
        n_top += label[i] == COLS - 1;
    }
    CHECK(n_top > 0);
    vt_task_unref(t);
    t = make_task("u8", "mask", "");
    buf[0] = mask;
    if (t)
        CHECK_OK(vt_inputs_fill(t, "cpu", 1, 0, 0, 0, buf, &err), err);
    for (size_t i = 0; i < N; i++) {
        CHECK(mask[i] <= 1);
        n_set += mask[i];
    }
    CHECK(n_set > N / 3 && n_set < 2 * N / 3);
    vt_task_unref(t);
}

static void nothing_is_written_outside(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    for (size_t i = 0; i < list.n; i++) {
        vt_err err = {0};
        vt_layout l;
        struct buffers b;
        char text[256];
        CHECK_OK(vt_task_layout(list.t[i], "hidden", &l, &err), err);
        for (int d = 0; d < vt_task_n_dists(list.t[i]); d++) {
            buffers_new(&l, &b);
            CHECK_OK(vt_inputs_fill(list.t[i], "hidden", 1, 0, d, 0, b.at, &err), err);
            CHECK(margins_intact(&l, &b));
            buffers_free(&l, &b);
            vt_inputs_describe(list.t[i], d, 0, text, sizeof text);
            CHECK(strstr(text, ": ") != NULL);
        }
    }
    free_tasks(&list);
}

/* Every byte of an output counts, none of the margins around it. */
static void digests_are_of_every_byte(void)
{
    static struct vt_plan plan;
    vt_err err = {0};
    vt_task *t = make_task("f32", "normal", "");
    CHECK_OK(vt_plan_make(t, "cpu", VT_LIE_LINES, false, 1, &plan, &err), err);
    const struct vt_set set = {.plan = &plan};
    unsigned char *out = calloc(1, plan.out_bytes);
    const struct vt_wire_array *y = &plan.array[1];
    unsigned char *data = out + y->out_at + y->data;
    const uint64_t zeros = vt_set_digest(&set, out);
    CHECK_INT(y->bytes, ROWS * sizeof(float));
    for (size_t i = 0; i < y->bytes; i++) {
        data[i] = 1;
        CHECK(vt_set_digest(&set, out) != zeros);
        data[i] = 0;
    }
    data[-1] = 1;
    CHECK(vt_set_digest(&set, out) == zeros);
    free(out);
    vt_task_unref(t);
}

/* ---- contamination ---- */

static size_t n_unlike(const float *a, const float *b, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += memcmp(&a[i], &b[i], sizeof a[i]) != 0;
    return found;
}

static void fill_spiced(const char *dists, const char *extra, uint64_t set, int spice, float *to)
{
    vt_err err = {0};
    vt_task *t = make_task("f32", dists, extra);
    void *buf[2] = {to, NULL};
    if (t)
        CHECK_OK(vt_inputs_fill(t, "cpu", 5, set, 0, spice, buf, &err), err);
    vt_task_unref(t);
}

/* A few elements, or one row and a few, at positions that change from set to set; all others are the benchmark's. */
static void exceptions_are_few_and_anywhere(void)
{
    static bool hit[N];
    size_t n_few = 0, n_rows = 0, n_front = 0, n_all = 0;
    for (uint64_t set = 0; set < 200; set++) {
        fill_spiced("uniform\",\"wide", "", set, 0, x);
        fill_spiced("uniform\",\"wide", "", set, 1, z);
        size_t n = n_unlike(x, z, N);
        CHECK(n > 0 && n <= COLS + 24);
        n_few += n <= 24;
        n_rows += n >= COLS - 8;
        for (size_t i = 0; i < N; i++)
            if (n <= 24 && memcmp(&x[i], &z[i], sizeof x[i]) != 0) {
                hit[i] = true;
                n_all++;
                n_front += i % COLS < COLS / 2;
            }
    }
    CHECK_INT((long long)(n_few + n_rows), 200);
    CHECK(n_few > 60 && n_rows > 60);
    CHECK(n_front * 10 > n_all * 4 && n_front * 10 < n_all * 6); /* over the whole row */
    size_t distinct = 0;
    for (size_t i = 0; i < N; i++)
        distinct += hit[i];
    CHECK(distinct * 10 > n_all * 9);
}

/* A needle among them: one, in the first quarter of its row; triangles stay triangles. */
static void large_exceptions_are_single(void)
{
    size_t n_needles = 0;
    for (uint64_t set = 0; set < 100; set++) {
        size_t large = 0;
        fill_spiced("uniform\",\"needle", ",\"block\":\"n * m\"", set, 1, z);
        for (size_t i = 0; i < N; i++)
            if (fabsf(z[i]) > 40) {
                CHECK(i < N / 4);
                large++;
            }
        CHECK(large <= 1);
        n_needles += large;
    }
    CHECK(n_needles > 90);
    for (uint64_t set = 0; set < 50; set++) {
        fill_spiced("uniform\",\"normal", ",\"keep\":\"upper\"", set, 1, z);
        for (size_t i = 1; i < ROWS; i++)
            for (size_t j = 0; j < i; j++)
                CHECK(z[i * COLS + j] == 0.0f);
    }
    fill_spiced("uniform\",\"uniform", "", 1, 0, x);
    fill_spiced("uniform\",\"uniform", "", 1, 1, z);
    CHECK_INT((long long)n_unlike(x, z, N), 0); /* no other kind to take them from */
}

/* One or four of each sign, between 30 and 10000, in the first quarter of a row, as often below their geometric mean as
 * above it. None where the values mean more than their size. */
static void huge_exceptions_have_both_signs(void)
{
    size_t n_below = 0, n_all = 0, n_pairs = 0;
    for (uint64_t set = 0; set < 100; set++) {
        size_t n_plus = 0, n_minus = 0;
        fill_spiced("uniform\",\"normal", "", set, VT_SPICE_HUGE, z);
        for (size_t i = 0; i < N; i++) {
            if (fabsf(z[i]) < 30)
                continue;
            CHECK(fabsf(z[i]) <= 1e4f);
            CHECK(i % COLS < COLS / 4 + 1);
            n_plus += z[i] > 0;
            n_minus += z[i] < 0;
            n_below += fabsf(z[i]) < 550;
            n_all++;
        }
        CHECK(n_plus <= 4 && n_minus <= 4 && n_plus + n_minus > 0);
        n_pairs += n_plus == 1 && n_minus == 1;
    }
    CHECK(n_pairs > 30 && n_pairs < 70); /* the others: four of each */
    CHECK(n_below * 10 > n_all * 4 && n_below * 10 < n_all * 6);
    static const char *const closed[] = {"uniform", "uniform\",\"positive", "normal\",\"probs", "normal\",\"pm1"};
    for (size_t k = 0; k < sizeof closed / sizeof closed[0]; k++) {
        fill_spiced(closed[k], "", 1, 0, x);
        fill_spiced(closed[k], "", 1, VT_SPICE_HUGE, z);
        CHECK_INT((long long)n_unlike(x, z, N), 0);
    }
}

/* n inputs x0, x1 (the second a weight) of the usual shape, with these fields. */
static vt_task *parse_task_of(const char *fields, int n, const char *dist)
{
    static const char array[] =
        "{\"name\":\"x%d\",\"role\":\"%s\",\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"],\"dist\":[\"%s\"]},";
    char json[2048], inputs[512] = "";
    vt_task *t = NULL;
    vt_err err;
    for (int i = 0; i < n; i++)
        snprintf(inputs + strlen(inputs), sizeof inputs - strlen(inputs), array, i, i ? "weight" : "in", dist);
    snprintf(
        json, sizeof json,
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"t\",%s,\"sizes\":{\"cpu\":{\"n\":%d,\"m\":%d}},\"arrays\":[%s"
        "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\",\"m\"],\"compare\":\"bound\"}],"
        "\"scalars\":[],\"atol\":0,\"bytes\":\"n\",\"flops\":\"n\",\"body\":\";\"}",
        fields, ROWS, COLS, inputs);
    CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
    return t;
}

static vt_task *parse_task(const char *fields, int n)
{
    return parse_task_of(fields, n, "uniform\",\"normal");
}

/* All on one side of zero, from some number to twice it, which is the set's for every array. With a tolerance one
 * ordinary number stays in each row. */
static void numbers_beside_zero(void)
{
    static const struct {
        int spice;
        double least, most;
        float sign;
    } kinds[] = {{VT_SPICE_BELOW, 2e3, 2e5, -1},
                 {VT_SPICE_ABOVE, 2e3, 2e5, 1},
                 {VT_SPICE_FAR_BELOW, 1e6, 2e18, -1},
                 {VT_SPICE_FAR_ABOVE, 1e6, 2e18, 1}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        double lowest = INFINITY, highest = 0;
        for (uint64_t set = 0; set < 60; set++) {
            size_t n_out = 0;
            double least = INFINITY, most = 0;
            fill_spiced("uniform\",\"normal", "", set, kinds[k].spice, z);
            for (size_t i = 0; i < N; i++) {
                double v = (double)(z[i] * kinds[k].sign);
                n_out += !(v >= kinds[k].least && v <= kinds[k].most * 1.0001);
                least = fmin(least, v);
                most = fmax(most, v);
            }
            CHECK_INT((long long)n_out, 0);
            CHECK(most <= 2 * least * 1.0001 && most > 1.8 * least);
            lowest = fmin(lowest, least);
            highest = fmax(highest, most);
        }
        CHECK(log(highest / lowest) > 0.7 * log(kinds[k].most / kinds[k].least)); /* sizes of all orders */
    }
    static float both[2][N];
    void *buf[3] = {both[0], both[1], NULL};
    vt_err err;
    vt_task *t = parse_task("\"rtol\":0,\"family\":\"loss\"", 2);
    for (uint64_t set = 0; set < 20; set++) { /* at a drawn size as far as it goes */
        CHECK_OK(vt_inputs_fill(t, "=4,5", 1, set, 0, VT_SPICE_FAR_ABOVE, buf, &err), err);
        CHECK(both[0][0] >= 1e28f && both[0][19] >= 1e28f && both[0][19] <= 1e30f);
    }
    CHECK_OK(vt_inputs_fill(t, "cpu", 1, 3, 0, VT_SPICE_BELOW, buf, &err), err);
    CHECK(both[0][0] / both[1][0] > 0.49f && both[0][0] / both[1][0] < 2.01f && both[0][0] != both[1][0]);
    vt_task_unref(t);
    t = parse_task("\"rtol\":3e-5,\"family\":\"elementwise\"", 1);
    buf[1] = NULL;
    CHECK_OK(vt_inputs_fill(t, "cpu", 1, 3, 0, VT_SPICE_ABOVE, buf, &err), err);
    for (size_t i = 0; i < ROWS; i++) {
        size_t n_ordinary = 0;
        for (size_t j = 0; j < COLS; j++)
            n_ordinary += both[0][i * COLS + j] < 1;
        CHECK_INT((long long)n_ordinary, 1);
    }
    vt_task_unref(t);
}

/* A transformed convolution adds neighbours: one image of them all is huge, never one number; weights stay. */
static void a_huge_image_among_others(void)
{
    static float image[N], taps[N], plain[N];
    void *buf[3] = {image, taps, NULL};
    vt_err err;
    vt_task *t = parse_task("\"rtol\":0,\"family\":\"convolution\"", 2);
    size_t seen[ROWS] = {0}, n_seen = 0, n_high = 0;
    for (uint64_t set = 0; set < 200; set++) {
        buf[0] = plain;
        CHECK_OK(vt_inputs_fill(t, "cpu", 1, set, 0, 0, buf, &err), err);
        buf[0] = image;
        CHECK_OK(vt_inputs_fill(t, "cpu", 1, set, 0, VT_SPICE_HUGE, buf, &err), err);
        size_t n_rows = 0;
        for (size_t i = 0; i < ROWS; i++) {
            float by = image[i * COLS] / plain[i * COLS];
            if (by == 1.0f)
                continue;
            n_rows++;
            n_seen += seen[i]++ == 0;
            CHECK(by > 29 && by < 10001);
            CHECK((by > 548) == (set % 2 == 0)); /* the upper half of the sizes in every other set */
            n_high += by > 548;
            for (size_t j = 0; j < COLS; j++)
                CHECK(fabsf(image[i * COLS + j] / plain[i * COLS + j] / by - 1) < 1e-6f);
        }
        CHECK_INT((long long)n_rows, 1);
        for (size_t i = 0; i < N; i++)
            CHECK(fabsf(taps[i]) < 10);
    }
    CHECK(n_seen > ROWS / 2 && n_high == 100);
    vt_task_unref(t);
}

/* Which tasks get them: by what their formulas are. */
static void who_is_asked_beside_zero(void)
{
    static const struct {
        const char *fields, *dist;
        int n_below, n_far;
    } tasks[] = {
        {"\"rtol\":0,\"family\":\"pooling\"", "uniform\",\"normal", 1, 1},
        {"\"rtol\":0,\"family\":\"user\"", "uniform\",\"normal", 1, 1},
        {"\"rtol\":3e-5,\"family\":\"elementwise\"", "uniform\",\"normal", 2, 0},
        {"\"rtol\":3e-5,\"family\":\"softmax\"", "uniform\",\"normal", 0, 0}, /* elements meet in an exponent */
        {"\"rtol\":0,\"family\":\"loss\"", "normal\",\"probs", 0, 0},         /* no number but a probability */
        {"\"rtol\":0,\"family\":\"scan\"", "uniform\",\"positive", 0, 0},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        struct vt_pool pool;
        int n_first = 0, n_below = 0, n_far = 0, n_drawn = 0;
        vt_task *t = parse_task_of(tasks[i].fields, 1, tasks[i].dist);
        for (uint64_t secret = 0; secret < 32; secret++) {
            vt_pool_plan(&pool, t, "cpu", false, true, secret);
            for (size_t k = 0; k < pool.n_sets; k++) {
                n_below += pool.set[k].spice == VT_SPICE_BELOW || pool.set[k].spice == VT_SPICE_ABOVE;
                n_far += pool.set[k].spice >= VT_SPICE_FAR_BELOW;
                n_first += k < pool.n_timed + pool.n_spiced && pool.set[k].spice > VT_SPICE_HUGE;
            }
            vt_pool_draw(&pool);
            for (size_t k = pool.first_drawn; k < pool.n_sets; k++)
                n_drawn += pool.set[k].spice > VT_SPICE_HUGE;
        }
        CHECK_INT(n_first, 0); /* none is timed */
        CHECK_INT(n_below + n_far, tasks[i].n_below + tasks[i].n_far ? 64 : 0);
        if (tasks[i].n_below && tasks[i].n_far)
            CHECK(n_below > 16 && n_far > 16);
        else
            CHECK_INT(n_far, 0);
        CHECK((n_drawn >= 64) == (tasks[i].n_below > 0));
        vt_pool_plan(&pool, t, "cpu", true, true, 1);
        n_far = 0;
        for (size_t k = 0; k < pool.n_sets; k++)
            n_far += pool.set[k].spice > VT_SPICE_HUGE;
        CHECK_INT(n_far, tasks[i].n_below ? (tasks[i].n_far ? 4 : 2) : 0);
        vt_task_unref(t);
    }
}

/* ---- places ---- */

static void arrays_lie_where_a_plan_says(void)
{
    static struct vt_plan plan;
    vt_err err = {0};
    bool seen[16] = {false};
    vt_task *t = make_task("f32", "normal", "");
    const size_t bytes = ROWS * sizeof(float);
    for (uint64_t key = 0; key < 400; key++) {
        CHECK_OK(vt_plan_make(t, "=48,33", VT_LIE_ANYWHERE, true, key, &plan, &err), err);
        const struct vt_wire_array *y = &plan.array[1];
        CHECK(y->data % sizeof(float) == 0 && y->data + y->bytes <= y->len);
        seen[y->data / 4 % 16] = true;
    }
    for (size_t i = 0; i < 16; i++)
        CHECK(seen[i]); /* each place in a cache line that an element can begin at */
    CHECK_OK(vt_plan_make(t, "=33,48", VT_LIE_END, true, 1, &plan, &err), err);
    for (size_t a = 0; a < 2; a++)
        CHECK_INT((long long)(plan.array[a].data + plan.array[a].bytes), (long long)plan.array[a].len);
    CHECK_OK(vt_plan_make(t, "=33,48", VT_LIE_START, true, 1, &plan, &err), err);
    for (size_t a = 0; a < 2; a++)
        CHECK_INT((long long)plan.array[a].data, 0);
    CHECK_OK(vt_plan_make(t, "cpu", VT_LIE_LINES, false, 1, &plan, &err), err);
    CHECK_INT((long long)(plan.array[1].data % 64), 0);
    CHECK_INT((long long)plan.array[1].bytes, (long long)bytes);
    vt_task_unref(t);
    t = make_task("f32", "normal", ",\"align\":32");
    for (uint64_t key = 0; key < 200; key++)
        for (int lie = VT_LIE_LINES; lie <= VT_LIE_ANYWHERE; lie++) {
            CHECK_OK(vt_plan_make(t, "=33,31", (enum vt_plan_lie)lie, true, key, &plan, &err), err);
            CHECK_INT((long long)(plan.array[0].data % 32), 0); /* as the task promises */
            CHECK(plan.array[0].data + plan.array[0].bytes <= plan.array[0].len);
        }
    vt_task_unref(t);
}

/* Between a third and three times the task's value, never near it, on both sides, another for another key. */
static void scalars_vary_far_enough(void)
{
    static struct vt_plan plan;
    static const char text[] =
        "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"1_f\",\"family\":\"test\",\"sizes\":{\"cpu\":{\"n\":9,\"m\":"
        "9}},"
        "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"n\",\"m\"],\"dist\":[\"uniform\"]},"
        "{\"name\":\"y\",\"role\":\"out\",\"shape\":[\"n\"]}],\"scalars\":[{\"name\":\"s\",\"type\":\"f32\",\"value\":"
        "1.5}],"
        "\"bytes\":\"n\",\"flops\":\"n\",\"body\":\"y[0] = s;\"}";
    vt_err err = {0};
    vt_task *t = NULL;
    int n_above = 0;
    float before = 0;
    CHECK_OK(vt_task_parse(text, strlen(text), &t, &err), err);
    for (uint64_t key = 0; key < 100 && t; key++) {
        CHECK_OK(vt_plan_make(t, "=48,33", VT_LIE_END, true, key, &plan, &err), err);
        CHECK_INT(plan.n_floats, 1);
        CHECK(plan.floats[0] == 1.5f);
        vt_plan_vary_scalars(t, key, &plan);
        float factor = plan.floats[0] / 1.5f, far = factor < 1 ? 1 / factor : factor;
        CHECK(far > 1.24f && far < 3.01f);
        CHECK(plan.floats[0] != before);
        before = plan.floats[0];
        n_above += factor > 1;
    }
    CHECK(n_above > 30 && n_above < 70);
    vt_task_unref(t);
}

static const struct test_case cases[] = {
    TEST(scalars_vary_far_enough),
    TEST(exceptions_are_few_and_anywhere),
    TEST(large_exceptions_are_single),
    TEST(huge_exceptions_have_both_signs),
    TEST(numbers_beside_zero),
    TEST(a_huge_image_among_others),
    TEST(who_is_asked_beside_zero),
    TEST(arrays_lie_where_a_plan_says),
    TEST(sets_are_functions_of_their_key),
    TEST(uniform_and_normal_have_their_moments),
    TEST(structured_rows_are_what_they_claim),
    TEST(blocks_replace_rows),
    TEST(triangles_and_symmetry_are_kept),
    TEST(integers_are_in_range),
    TEST(nothing_is_written_outside),
    TEST(digests_are_of_every_byte),
};
TEST_MAIN(cases)
