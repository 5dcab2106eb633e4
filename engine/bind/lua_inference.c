/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_inference.c: intervals, tests and correlations of engine/stats over plain Lua arrays, as core.inference. The
 * Lua half has checked what a person gave it; here numbers that are not finite, arrays that do not go together and
 * counts out of range are still refused, because a silent NaN in a p-value is a finding that is none. A result is a
 * table without what is not known: a bound or a p-value that does not exist is nil, never NaN.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "stats/paired.h"
#include "stats/proportions.h"
#include "stats/ranks.h"
#include "stats/resample.h"
#include <math.h>
#include <string.h>

/* The finite numbers at idx, in a pushed userdata. */
static double *read_numbers(lua_State *L, int idx, size_t *n)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    *n = lua_rawlen(L, idx);
    double *x = lua_newuserdatauv(L, (*n + 1) * sizeof *x, 0);
    for (size_t i = 0; i < *n; i++) {
        int ok = 0;
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        x[i] = lua_tonumberx(L, -1, &ok);
        if (!ok || !isfinite(x[i]))
            luaL_error(L, "vt.stats: element %I is no finite number", (lua_Integer)i + 1);
        lua_pop(L, 1);
    }
    return x;
}

/* As many numbers at idx as there are at 1. */
static double *read_as_many(lua_State *L, int idx, size_t n)
{
    size_t m;
    double *x = read_numbers(L, idx, &m);
    luaL_argcheck(L, n == m, idx, "as many values as the first array has");
    return x;
}

static uint64_t read_count(lua_State *L, int idx)
{
    lua_Integer n = luaL_checkinteger(L, idx);
    luaL_argcheck(L, n >= 0, idx, "a count of 0 or more");
    return (uint64_t)n;
}

static double read_level(lua_State *L, int idx)
{
    double level = luaL_optnumber(L, idx, 0.95);
    luaL_argcheck(L, level > 0 && level < 1, idx, "a level between 0 and 1");
    return level;
}

/* Sets a field of the table on top, unless the value is NaN. */
static void set(lua_State *L, const char *key, double value)
{
    if (isnan(value))
        return;
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static void set_count(lua_State *L, const char *key, size_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, key);
}

static int push_interval(lua_State *L, const struct vt_interval *i)
{
    lua_createtable(L, 0, 4);
    set(L, "value", i->value);
    set(L, "lo", i->lo);
    set(L, "hi", i->hi);
    set_count(L, "n", i->n);
    return 1;
}

static int push_correlation(lua_State *L, const struct vt_correlation *r)
{
    lua_createtable(L, 0, 8);
    set(L, "value", r->value);
    set(L, "lo", r->lo);
    set(L, "hi", r->hi);
    set(L, "p", r->p);
    set(L, "p_min", r->is_exact ? r->p_min : (double)NAN);
    set_count(L, "n", r->n);
    set_count(L, "ties", r->n_tied);
    lua_pushboolean(L, r->is_exact);
    lua_setfield(L, -2, "is_exact");
    return 1;
}

static int push_test(lua_State *L, const struct vt_paired_test *t)
{
    lua_createtable(L, 0, 8);
    set(L, "statistic", t->statistic);
    set(L, "p", t->p);
    set(L, "p_min", t->p_min);
    set_count(L, "n", t->n);
    set_count(L, "zeros", t->n_zero);
    set_count(L, "ties", t->n_tied);
    lua_pushboolean(L, t->is_exact);
    lua_setfield(L, -2, "is_exact");
    return 1;
}

/* clopper_pearson(n_success, n, level) */
static int l_clopper_pearson(lua_State *L)
{
    uint64_t k = read_count(L, 1), n = read_count(L, 2);
    luaL_argcheck(L, n > 0 && k <= n, 1, "no more successes than trials, and a trial");
    struct vt_interval i = vt_clopper_pearson(k, n, read_level(L, 3));
    return push_interval(L, &i);
}

/* paired_difference(n_first, n_second, n, level) */
static int l_paired_difference(lua_State *L)
{
    uint64_t b = read_count(L, 1), c = read_count(L, 2), n = read_count(L, 3);
    luaL_argcheck(L, n > 0 && b <= n && c <= n - b, 3, "at least as many pairs as differ");
    struct vt_interval i = vt_paired_difference(b, c, n, read_level(L, 4));
    return push_interval(L, &i);
}

/* odds_ratio(a, b, c, d, level) */
static int l_odds_ratio(lua_State *L)
{
    struct vt_interval i =
        vt_odds_ratio(read_count(L, 1), read_count(L, 2), read_count(L, 3), read_count(L, 4), read_level(L, 5));
    return push_interval(L, &i);
}

/* equivalent_k(ks, pass, target) -> k, 0 below the first point, inf above the last */
static int l_equivalent_k(lua_State *L)
{
    size_t n;
    const double *k = read_numbers(L, 1, &n), *pass = read_as_many(L, 2, n);
    lua_pushnumber(L, vt_equivalent_k(k, pass, n, luaL_checknumber(L, 3)));
    return 1;
}

/* spearman(x, y, level) */
static int l_spearman(lua_State *L)
{
    vt_err err;
    size_t n;
    struct vt_correlation r;
    const double *x = read_numbers(L, 1, &n), *y = read_as_many(L, 2, n);
    if (vt_spearman_test(x, y, n, read_level(L, 3), &r, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.spearman", &err);
    return push_correlation(L, &r);
}

/* spearman_clusters(x, y, clusters, n_clusters, level); clusters are numbered from 1 */
static int l_spearman_clusters(lua_State *L)
{
    vt_err err;
    size_t n, n_clusters = (size_t)read_count(L, 4);
    struct vt_correlation r;
    const double *x = read_numbers(L, 1, &n), *y = read_as_many(L, 2, n), *of = read_as_many(L, 3, n);
    size_t *cluster = lua_newuserdatauv(L, (n + 1) * sizeof *cluster, 0);
    for (size_t i = 0; i < n; i++) {
        luaL_argcheck(L, of[i] >= 1 && of[i] <= (double)n_clusters, 3, "numbers of clusters");
        cluster[i] = (size_t)of[i] - 1;
    }
    if (vt_spearman_clusters(x, y, cluster, n, n_clusters, read_level(L, 5), &r, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.spearman", &err);
    return push_correlation(L, &r);
}

/* partial_spearman(x, y, z, level) */
static int l_partial_spearman(lua_State *L)
{
    vt_err err;
    size_t n;
    struct vt_correlation r;
    const double *x = read_numbers(L, 1, &n), *y = read_as_many(L, 2, n), *z = read_as_many(L, 3, n);
    if (vt_partial_spearman(x, y, z, n, read_level(L, 4), &r, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.partial_spearman", &err);
    return push_correlation(L, &r);
}

/* kendall(x, y, level) */
static int l_kendall(lua_State *L)
{
    vt_err err;
    size_t n;
    struct vt_correlation r;
    const double *x = read_numbers(L, 1, &n), *y = read_as_many(L, 2, n);
    if (vt_kendall(x, y, n, read_level(L, 3), &r, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.kendall", &err);
    return push_correlation(L, &r);
}

/* cliffs_delta(x, y, level) */
static int l_cliffs_delta(lua_State *L)
{
    vt_err err;
    size_t n_x, n_y;
    struct vt_correlation r;
    const double *x = read_numbers(L, 1, &n_x), *y = read_numbers(L, 2, &n_y);
    if (vt_cliffs_delta(x, n_x, y, n_y, read_level(L, 3), &r, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.cliffs_delta", &err);
    return push_correlation(L, &r);
}

/* wilcoxon(differences, keeps_zeros, level) -> the test, with the Hodges-Lehmann value, lo and hi */
static int l_wilcoxon(lua_State *L)
{
    vt_err err;
    size_t n;
    struct vt_paired_test t;
    struct vt_interval i;
    const double *d = read_numbers(L, 1, &n);
    enum vt_zeros zeros = lua_toboolean(L, 2) ? VT_ZEROS_PRATT : VT_ZEROS_DROPPED;
    if (vt_wilcoxon(d, n, zeros, &t, &err) != VT_OK || vt_hodges_lehmann(d, n, read_level(L, 3), &i, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.wilcoxon", &err);
    push_test(L, &t);
    set(L, "value", i.value);
    set(L, "lo", i.lo);
    set(L, "hi", i.hi);
    return 1;
}

/* sign_flip(differences, n_draws, seed) */
static int l_sign_flip(lua_State *L)
{
    vt_err err;
    size_t n;
    struct vt_paired_test t;
    const double *d = read_numbers(L, 1, &n);
    if (vt_sign_flip(d, n, (size_t)read_count(L, 2), (uint64_t)luaL_checkinteger(L, 3), &t, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.permutation", &err);
    return push_test(L, &t);
}

/* permutation(x, y, n_draws, seed) */
static int l_permutation(lua_State *L)
{
    vt_err err;
    size_t n_x, n_y;
    struct vt_paired_test t;
    const double *x = read_numbers(L, 1, &n_x), *y = read_numbers(L, 2, &n_y);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 4);
    if (vt_permutation(x, n_x, y, n_y, (size_t)read_count(L, 3), seed, &t, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.permutation", &err);
    return push_test(L, &t);
}

/* power(pilot, n_tasks, effect, test, alpha, n_simulations, seed) -> how many simulations were significant */
static int l_power(lua_State *L)
{
    static const char *const tests[] = {"wilcoxon", "permutation", "sign_test", NULL};
    static const enum vt_power_test of[] = {VT_POWER_WILCOXON, VT_POWER_SIGN_FLIP, VT_POWER_SIGN};
    vt_err err;
    size_t n_significant, n;
    const double *pilot = read_numbers(L, 1, &n);
    luaL_argcheck(L, n > 0, 1, "a pilot of at least one difference");
    struct vt_power_request r = {.pilot = pilot,
                                 .n_pilot = n,
                                 .n_tasks = (size_t)read_count(L, 2),
                                 .effect = luaL_checknumber(L, 3),
                                 .test = of[luaL_checkoption(L, 4, NULL, tests)],
                                 .alpha = luaL_checknumber(L, 5),
                                 .n_simulations = (size_t)read_count(L, 6),
                                 .seed = (uint64_t)luaL_checkinteger(L, 7)};
    if (vt_power(&r, &n_significant, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.power", &err);
    lua_pushinteger(L, (lua_Integer)n_significant);
    return 1;
}

/* interval(values, "t" | "bca" | "percentile" | "student", "mean" | "median", n_draws, level, seed) */
static int l_interval(lua_State *L)
{
    static const char *const methods[] = {"t", "bca", "percentile", "student", NULL};
    static const char *const statistics[] = {"mean", "median", NULL};
    vt_err err;
    size_t n;
    struct vt_interval i;
    const double *x = read_numbers(L, 1, &n);
    int method = luaL_checkoption(L, 2, NULL, methods);
    vt_statistic *statistic = luaL_checkoption(L, 3, NULL, statistics) ? vt_stat_median : vt_stat_mean;
    size_t n_draws = (size_t)read_count(L, 4);
    double level = read_level(L, 5);
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 6);
    vt_status status = VT_OK;

    if (method == 0)
        status = vt_bootstrap_t(x, n, n_draws, level, seed, &i, &err);
    else if (method == 1)
        status = vt_bootstrap_bca(x, n, statistic, n_draws, level, seed, &i, &err);
    else if (method == 2)
        status = vt_bootstrap(x, n, statistic, n_draws, level, seed, &i, &err);
    else
        i = vt_student_interval(x, n, level);
    if (status != VT_OK)
        return vt_lua_raise(L, "vt.stats.bootstrap", &err);
    return push_interval(L, &i);
}

static int adjust(lua_State *L, vt_status (*fn)(const double *, size_t, double *, vt_err *))
{
    vt_err err;
    size_t n;
    const double *p = read_numbers(L, 1, &n);
    double *adjusted = lua_newuserdatauv(L, (n + 1) * sizeof *adjusted, 0);
    if (fn(p, n, adjusted, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats", &err);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushnumber(L, adjusted[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_holm(lua_State *L)
{
    return adjust(L, vt_holm);
}

static int l_benjamini_hochberg(lua_State *L)
{
    return adjust(L, vt_benjamini_hochberg);
}

void vt_lua_add_inference(lua_State *L)
{
    static const luaL_Reg functions[] = {{"clopper_pearson", l_clopper_pearson},
                                         {"paired_difference", l_paired_difference},
                                         {"odds_ratio", l_odds_ratio},
                                         {"equivalent_k", l_equivalent_k},
                                         {"spearman", l_spearman},
                                         {"spearman_clusters", l_spearman_clusters},
                                         {"partial_spearman", l_partial_spearman},
                                         {"kendall", l_kendall},
                                         {"cliffs_delta", l_cliffs_delta},
                                         {"wilcoxon", l_wilcoxon},
                                         {"sign_flip", l_sign_flip},
                                         {"permutation", l_permutation},
                                         {"power", l_power},
                                         {"interval", l_interval},
                                         {"holm", l_holm},
                                         {"benjamini_hochberg", l_benjamini_hochberg},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "inference");
}
