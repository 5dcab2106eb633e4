/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_sizes.c: drawn sizes. Every draw of every shipped task is one that the task allows and can be paid for; every
 * kind of size at which kernels go wrong is among them; nobody who does not know the secret can tell them; with the
 * full protocol each size passes through all residues modulo 64 that its conditions allow.
 */
#include "eval/sizes.h"
#include "eval_fixture.h"
#include "eval_tasks.h"

static char drawn[VT_MAX_DRAWN][VT_SCALE_SIZE], again[VT_MAX_DRAWN][VT_SCALE_SIZE];

static vt_task *from_text(const char *json)
{
    vt_task *t = NULL;
    vt_err err;
    CHECK_OK(vt_task_parse(json, strlen(json), &t, &err), err);
    return t;
}

#define DOCUMENT(sizes, rest)                                                                                          \
    "{\"id\":1,\"level\":1,\"name\":\"f\",\"title\":\"f\",\"family\":\"x\",\"sizes\":{" sizes "},"                     \
    "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"shape\":[\"n\",\"m\"],\"dist\":[\"uniform\",\"normal\"]},"          \
    "{\"name\":\"y\",\"role\":\"out\",\"shape\":[\"n\"]}],\"bytes\":\"4*n*m\",\"flops\":\"n*m\",\"body\":\";\"" rest   \
    "}"

static void sizes_of(const vt_task *t, const char *scale, int32_t *v)
{
    vt_layout l;
    vt_err err;
    CHECK_OK(vt_task_layout(t, scale, &l, &err), err);
    memcpy(v, l.size, sizeof l.size);
}

static void every_draw_is_allowed(void)
{
    NEEDS_LUA();
    struct task_list list = load_tasks("l1");
    size_t fewest = VT_MAX_DRAWN;
    for (size_t i = 0; i < list.n; i++) {
        const vt_task *t = list.t[i];
        vt_layout cpu;
        vt_err err;
        CHECK_OK(vt_task_layout(t, "cpu", &cpu, &err), err);
        for (uint64_t key = 1; key <= 6; key++) {
            size_t n = vt_sizes_draw(t, "cpu", key == 6, key, drawn);
            fewest = n < fewest ? n : fewest;
            for (size_t k = 0; k < n; k++) {
                vt_layout l;
                CHECK_OK(vt_task_layout(t, drawn[k], &l, &err), err);
                CHECK(vt_task_where_holds(t, l.size));
                CHECK((double)l.total_bytes <= 1.6 * (double)cpu.total_bytes && l.flops <= 2 * cpu.flops);
                for (size_t j = 0; j < l.n_sizes; j++)
                    CHECK(l.size[j] >= t->range[j].lo && l.size[j] <= t->range[j].hi);
            }
        }
    }
    CHECK(fewest >= 8);
    free_tasks(&list);
}

struct kinds {
    bool one, two, three, prime, eights, sixty_fours, odd, large, unequal;
};

static bool is_prime(int32_t x)
{
    for (int32_t k = 2; k * k <= x; k++)
        if (x % k == 0)
            return false;
    return x > 3;
}

static struct kinds kinds_of(const vt_task *t, size_t n, size_t j, int32_t large)
{
    struct kinds k = {.one = false};
    for (size_t i = 0; i < n; i++) {
        int32_t v[VT_TASK_MAX_SIZES];
        sizes_of(t, drawn[i], v);
        k.one |= v[j] == 1;
        k.two |= v[j] == 2;
        k.three |= v[j] == 3;
        k.prime |= is_prime(v[j]);
        k.eights |= v[j] % 8 == 0 && v[j] % 64 != 0;
        k.sixty_fours |= v[j] % 64 == 0;
        k.large |= v[j] >= large;
        k.unequal |= v[0] > 1 && v[1] > 1 && v[0] != v[1];
    }
    return k;
}

/* Over secrets: in how many of 50 draws each kind is there. 1, 2, 3, large and unequal always; the others, where one
 * size's luck can leave no room for the other's, mostly. */
static void every_kind_is_among_them(void)
{
    vt_task *t = from_text(DOCUMENT("\"cpu\":{\"n\":150,\"m\":150},\"full\":{\"n\":100000,\"m\":100000}",
                                    ",\"size_order\":[\"n\",\"m\"]"));
    for (size_t j = 0; j < 2; j++) {
        int prime = 0, eights = 0, sixty_fours = 0;
        for (uint64_t key = 1; key <= 50; key++) {
            size_t n = vt_sizes_draw(t, "cpu", false, key, drawn);
            struct kinds k = kinds_of(t, n, j, 10000);
            CHECK(k.one && k.two && k.three);
            CHECK(k.large);
            CHECK(k.unequal);
            prime += k.prime;
            eights += k.eights;
            sixty_fours += k.sixty_fours;
        }
        CHECK(prime >= 40);
        CHECK(eights >= 30);
        CHECK(sixty_fours >= 45);
    }
    vt_task_unref(t);
}

static void secrets_differ(void)
{
    vt_task *t = from_text(DOCUMENT("\"cpu\":{\"n\":150,\"m\":150},\"full\":{\"n\":9000,\"m\":9000}", ""));
    size_t n = vt_sizes_draw(t, "cpu", true, 5, drawn), same = vt_sizes_draw(t, "cpu", true, 5, again);
    CHECK_INT((long long)n, (long long)same);
    for (size_t i = 0; i < n; i++)
        CHECK_STR(again[i], drawn[i]);
    same = vt_sizes_draw(t, "cpu", true, 6, again);
    size_t n_equal = 0;
    for (size_t i = 10; i < n && i < same; i++)
        n_equal += strcmp(drawn[i], again[i]) == 0;
    CHECK(n_equal * 10 < n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(drawn[i], drawn[k]) != 0);
    vt_task_unref(t);
}

static int n_residues(const vt_task *t, size_t n, size_t j)
{
    bool seen[64] = {false};
    int found = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t v[VT_TASK_MAX_SIZES];
        sizes_of(t, drawn[i], v);
        found += !seen[v[j] % 64];
        seen[v[j] % 64] = true;
    }
    return found;
}

/* matmul's three sizes, softmax's two, a convolution's height and width (lowered to no less than the window); channels
 * in groups of four have a quarter of the residues; no condition is in the way of any other. */
static void all_residues_are_met(void)
{
    NEEDS_LUA();
    static const struct {
        const char *file;
        size_t size;
        int wanted;
    } c[] = {{"l1/002_matmul.lua", 0, 64},
             {"l1/002_matmul.lua", 1, 64},
             {"l1/002_matmul.lua", 2, 64},
             {"l1/023_softmax.lua", 0, 64},
             {"l1/023_softmax.lua", 1, 64},
             {"l1/019_relu.lua", 0, 64},
             {"l1/063_conv2d_k3_square.lua", 3, 64},
             {"l1/063_conv2d_k3_square.lua", 4, 64},
             {"l1/072_conv3d_transposed_grouped.lua", 1, 8},
             {"l1/001_square_matmul.lua", 0, 64},
             {"l1/097_attention.lua", 1, 64}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct task_list list = load_tasks(c[i].file);
        CHECK_INT((long long)list.n, 1);
        size_t n = list.n ? vt_sizes_draw(list.t[0], "cpu", true, 77, drawn) : 0;
        int found = n ? n_residues(list.t[0], n, c[i].size) : 0;
        if (found != c[i].wanted)
            printf("  %s, size %zu: ", c[i].file, c[i].size);
        CHECK_INT(found, c[i].wanted);
        free_tasks(&list);
    }
}

static void what_cannot_vary_is_not_drawn(void)
{
    vt_task *t = from_text(DOCUMENT("\"cpu\":{\"n\":15,\"m\":20}", ",\"range\":{\"n\":[15,15],\"m\":[20,20]}"));
    CHECK_INT((long long)vt_sizes_draw(t, "cpu", true, 1, drawn), 0);
    vt_task_unref(t);
    t = from_text(DOCUMENT("\"cpu\":{\"n\":15,\"m\":20}", ",\"range\":{\"n\":[15,15]}"));
    size_t n = vt_sizes_draw(t, "cpu", false, 1, drawn);
    CHECK(n > 3);
    for (size_t i = 0; i < n; i++) {
        int32_t v[VT_TASK_MAX_SIZES];
        sizes_of(t, drawn[i], v);
        CHECK(v[0] == 20 || v[1] == 15 || v[0] == 15); /* byte order: m, n */
        CHECK_INT(v[1], 15);
    }
    vt_task_unref(t);
}

static void conditions_hold(void)
{
    vt_task *t = from_text(DOCUMENT("\"cpu\":{\"n\":64,\"m\":128}",
                                    ",\"size_order\":[\"n\",\"m\"],\"where\":[\"m == 2 * n\",\"n % 4 == 0\"]"));
    size_t n = vt_sizes_draw(t, "cpu", true, 3, drawn);
    /* One size at a time cannot move along m = 2n: only what is reached is drawn, and it holds. */
    for (size_t i = 0; i < n; i++) {
        int32_t v[VT_TASK_MAX_SIZES];
        sizes_of(t, drawn[i], v);
        CHECK(v[1] == 2 * v[0] && v[0] % 4 == 0);
    }
    vt_task_unref(t);
}

static void bad_fields_are_refused(void)
{
    static const struct {
        const char *field, *message;
    } c[] = {
        {",\"range\":{\"k\":[1,2]}", "which is no size of it"},
        {",\"range\":{\"n\":[0,20]}", "integers from 1"},
        {",\"range\":{\"n\":[20,10]}", "integers from 1"},
        {",\"range\":{\"n\":[1,2.5]}", "integers from 1"},
        {",\"range\":{\"n\":7}", "integers from 1"},
        {",\"range\":[1,2]", "an object"},
        {",\"range\":{\"n\":[1,14]}", "outside its own range"},
        {",\"where\":[\"n\"]", "not two size expressions"},
        {",\"where\":[\"n > m\"]", "do not satisfy"},
        {",\"where\":[\"n < k\"]", "k"},
        {",\"where\":\"n < m\"", "a list"},
    };
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        char text[1024];
        vt_task *t = NULL;
        vt_err err = {0};
        const char *good = DOCUMENT("\"cpu\":{\"n\":15,\"m\":20}", "");
        snprintf(text, sizeof text, "%.*s%s}", (int)strlen(good) - 1, good, c[i].field);
        CHECK_INT(vt_task_parse(text, strlen(text), &t, &err), VT_EFORMAT);
        if (!strstr(err.msg, c[i].message))
            CHECK_STR(err.msg, c[i].message);
        vt_task_unref(t);
    }
}

static void written_sizes_are_a_scale(void)
{
    static const char *const bad[] = {"=",     "=1",    "=1,2,3", "=0,1", "=-1,2",
                                      "=1,2x", "= 1,2", "1,2",    "=1;2", "=99999999999,1"};
    vt_task *t = from_text(DOCUMENT("\"cpu\":{\"n\":15,\"m\":20}", ",\"size_order\":[\"n\",\"m\"]"));
    vt_layout l;
    vt_err err;
    char text[64];
    int64_t v = 0;
    CHECK_OK(vt_task_layout(t, "=3,7", &l, &err), err);
    CHECK_INT(l.array[0].n_elem, 21);
    CHECK_OK(vt_task_size(t, "=3,7", "m * 10 + n", &v, &err), err);
    CHECK_INT(v, 73);
    vt_scale_describe(t, "=3,7", text, sizeof text);
    CHECK_STR(text, "n = 3, m = 7");
    vt_scale_describe(t, "cpu", text, sizeof text);
    CHECK_STR(text, "cpu");
    CHECK(!vt_task_has_scale(t, "=3,7"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(vt_task_layout(t, bad[i], &l, &err), VT_EINVAL);
    vt_task_unref(t);
}

static const struct test_case cases[] = {
    TEST(every_draw_is_allowed),  TEST(every_kind_is_among_them),      TEST(secrets_differ),
    TEST(all_residues_are_met),   TEST(what_cannot_vary_is_not_drawn), TEST(conditions_hold),
    TEST(bad_fields_are_refused), TEST(written_sizes_are_a_scale),
};
TEST_MAIN(cases)
