/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_clash.c: a candidate's names that the headers have. Which errors are of this kind, in the words of both
 * compilers, and what becomes of the unit; that whole candidates are judged right stands in tests/hacks.
 */
#include "eval/c/assemble.h"
#include "eval/c/clash.h"
#include "harness.h"
#include <string.h>

static const char headers[] = "extern double y1 (double);\nextern int abs (int);\nextern float gamma(float);\n"
                              "extern div_t div(int, int);\nextern double round_half(double);\n";

static void find(const char *const *text, int n, struct vt_clashes *out)
{
    static struct vt_diagnostics d;
    memset(&d, 0, sizeof d);
    for (int i = 0; i < n; i++)
        snprintf(d.item[d.n++].text, sizeof d.item[0].text, "%s", text[i]);
    vt_clash_find(&d, headers, out);
}

static void errors_of_this_kind(void)
{
    static const char *const of_gcc[] = {
        "conflicting types for 'y1'; have 'float(float)'", "static declaration of 'abs' follows non-static declaration",
        "'gamma' redeclared as different kind of symbol", "conflicting types for 'y1'; have 'float(float)'"};
    static const char *const of_clang[] = {"conflicting types for 'div'",
                                           "redefinition of 'gamma' as different kind of symbol"};
    static const char *const others[] = {"conflicting types for 'helper'; have 'int(void)'", /* in no header */
                                         "conflicting types for 'round'", /* only in part of a word */
                                         "too few arguments to function 'abs'",
                                         "'y1' undeclared (first use in this function)",
                                         "conflicting types for '1abs'",
                                         "conflicting types for 'a b'",
                                         "redefinition of",
                                         "conflicting types for 'abs",
                                         "conflicting types for ''"};
    struct vt_clashes c;
    find(of_gcc, 4, &c);
    CHECK_INT((long long)c.n, 3);
    CHECK_STR(c.name[0], "y1");
    CHECK_STR(c.name[1], "abs");
    CHECK_STR(c.name[2], "gamma");
    find(of_clang, 2, &c);
    CHECK_INT((long long)c.n, 2);
    CHECK_STR(c.name[0], "div");
    CHECK_STR(c.name[1], "gamma");
    find(others, sizeof others / sizeof others[0], &c);
    CHECK_INT((long long)c.n, 0);
}

static void renamed_behind_the_headers(void)
{
    struct vt_clashes c = {{"y1", "abs"}, 2};
    struct vt_buf unit, out;
    vt_buf_init(&unit, 4096);
    vt_buf_printf(&unit, "%s#line 1 \"k.c\"\nfloat y1;\n", vt_unit_prelude);
    CHECK(vt_clash_rename(&c, &unit, &out));
    char expected[1024];
    snprintf(expected, sizeof expected,
             "%s#undef y1\n#define y1 vt_own_y1\n#undef abs\n#define abs vt_own_abs\n#line 1 \"k.c\"\nfloat y1;\n",
             vt_unit_prelude);
    CHECK_STR(out.p, expected);
    vt_buf_free(&out);
    vt_buf_free(&unit);
    vt_buf_init(&unit, 64); /* a user's file, which has headers of its own */
    vt_buf_puts(&unit, "float y1;\n");
    CHECK(!vt_clash_rename(&c, &unit, &out));
    vt_buf_free(&unit);
}

static const struct test_case cases[] = {TEST(errors_of_this_kind), TEST(renamed_behind_the_headers)};
TEST_MAIN(cases)
