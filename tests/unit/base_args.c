/* SPDX-License-Identifier: Apache-2.0
 *
 * base_args.c: command lines against declarations, numbers at the edges of what a number can be, limits, suggestions.
 */
#include "base/args.h"
#include "base/limits.h"
#include "base/nearest.h"
#include "harness.h"

static const char *const levels[] = {"l1", "l2", NULL};
static const struct vt_arg options[] = {
    {.name = "out"},
    {.name = "level", .choices = levels},
    {.name = "max-wall", .kind = VT_ARG_NUMBER, .range = VT_AT_LEAST(0)},
    {.name = "top_p", .kind = VT_ARG_NUMBER, .range = VT_ABOVE_TO(0, 1)},
    {.name = "k", .kind = VT_ARG_INTEGER, .range = VT_WITHIN(1, 64)},
    {.name = "memory", .kind = VT_ARG_BYTES, .range = VT_AT_LEAST(0)},
    {.name = "json", .kind = VT_ARG_SWITCH},
    {.name = "copy", .kind = VT_ARG_BOOLEAN},
    {.name = "shape", .repeats = true},
    {.name = "help", .kind = VT_ARG_SWITCH},
};
enum { N = sizeof options / sizeof options[0] };

/* Everything that a command line gives, as "name=text " and "word " one after another, or "! what is wrong". */
static const char *all(const char *line)
{
    static char out[1024], buffer[512];
    const char *words[32];
    size_t n = 0;
    bool seen[N] = {false};
    vt_err err;

    snprintf(buffer, sizeof buffer, "%s", line);
    for (char *at = buffer; *at; n++) {
        words[n] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    struct vt_args a = {.declared = options, .n = N, .words = words, .n_words = n, .seen = seen};
    out[0] = '\0';
    for (;;) {
        int which;
        const char *text;
        size_t len = strlen(out);
        if (vt_args_next(&a, &which, &text, &err) != VT_OK) {
            snprintf(out, sizeof out, "! %s", err.msg);
            return out;
        }
        if (which == VT_ARGS_END)
            return out;
        snprintf(out + len, sizeof out - len, which == VT_ARGS_WORD ? "%s%s " : "%s=%s ",
                 which == VT_ARGS_WORD ? "" : options[which].name, text);
    }
}

static void forms(void)
{
    CHECK_STR(all(""), "");
    CHECK_STR(all("--out a --out2"), "! there is no option --out2; did you mean '--out'?");
    CHECK_STR(all("one --out a two --json"), "one out=a two json=true ");
    CHECK_STR(all("--out=a=b --out2=3"), "! there is no option --out2; did you mean '--out'?");
    CHECK_STR(all("--out=a=b"), "out=a=b ");
    CHECK_STR(all("--out="), "out= ");
    CHECK_STR(all("--max_wall 3 --top-p 1"), "max-wall=3 top_p=1 ");
    CHECK_STR(all("--copy --json"), "copy=true json=true ");
    CHECK_STR(all("--copy false x"), "copy=false x ");
    CHECK_STR(all("--copy x"), "copy=true x ");
    CHECK_STR(all("--no-copy"), "copy=false ");
    CHECK_STR(all("--no_copy"), "copy=false ");
    CHECK_STR(all("--shape a=1 --shape=b=2"), "shape=a=1 shape=b=2 ");
    CHECK_STR(all("-h"), "help=true ");
    CHECK_STR(all("- -3 --k -3"), "- -3 k=-3 ");
    CHECK_STR(all("--json -- --out -x --"), "json=true --out -x -- ");
}

static void refusals(void)
{
    CHECK_STR(all("--out"), "! --out needs a value");
    CHECK_STR(all("--out --json"), "! --out needs a value");
    CHECK_STR(all("--out=--json"), "out=--json ");
    CHECK_STR(all("--k 3 --k 4"), "! --k is given twice");
    CHECK_STR(all("--copy --no-copy"), "! --copy is given twice");
    CHECK_STR(all("--json=1"), "! --json takes no value");
    CHECK_STR(all("--no-copy=true"), "! --no-copy=true takes no value");
    CHECK_STR(all("--no-json"), "! there is no option --no-json; did you mean '--json'?");
    CHECK_STR(all("-x"), "! '-x' is no option; options look like --name");
    CHECK_STR(all("--=3"),
              "! there is no option --; known: --copy, --help, --json, --k, --level, --max-wall, --memory, "
              "--out, --shape, --top_p");
    CHECK_STR(all("--jsno"), "! there is no option --jsno; did you mean '--json'?");
}

/* What vt_arg_number makes of a text, or the sentence. */
static const char *number(const char *name, const char *text)
{
    static char out[VT_ERR_MSG];
    double v = -1;
    int64_t whole = -1;
    vt_err err;

    for (int i = 0; i < N; i++) {
        const struct vt_arg *a = &options[i];
        if (strcmp(a->name, name) != 0)
            continue;
        bool is_number = a->kind == VT_ARG_NUMBER;
        if ((is_number ? vt_arg_number(a, text, &v, &err) : vt_arg_whole(a, text, &whole, &err)) != VT_OK)
            snprintf(out, sizeof out, "%s", err.msg);
        else if (is_number)
            snprintf(out, sizeof out, "%.17g", v);
        else
            snprintf(out, sizeof out, "%" PRId64, whole);
    }
    return out;
}

static void numbers(void)
{
    CHECK_STR(number("max-wall", "1e-3"), "0.001");
    CHECK_STR(number("max-wall", ".5"), "0.5");
    CHECK_STR(number("max-wall", "5."), "5");
    static const char *const none[] = {"",   "nan", "inf", "-inf", "Infinity", "0x10",
                                       "1e", "1e+", ".",   " 1",   "1 ",       "1,5"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        char want[80];
        snprintf(want, sizeof want, "--max-wall must be a number, not '%s'", none[i]);
        CHECK_STR(number("max-wall", none[i]), want);
    }
    CHECK_STR(number("max-wall", "1e400"), "--max-wall: 1e400 is larger than a number can be");
    CHECK_STR(number("max-wall", "1e-400"), "--max-wall: 1e-400 is closer to 0 than a number can be");
    CHECK_STR(number("max-wall", "-1"), "--max-wall must be at least 0, not -1");
    CHECK_STR(number("top_p", "0"), "--top_p must be above 0, not 0");
    CHECK_STR(number("top_p", "1.0001"), "--top_p must be at most 1, not 1.0001");
    CHECK_STR(number("top_p", "1"), "1");
}

static void whole_numbers(void)
{
    CHECK_STR(number("k", "64"), "64");
    CHECK_STR(number("k", "6.4e1"), "64");
    CHECK_STR(number("k", "65"), "--k must be at most 64, not 65");
    CHECK_STR(number("k", "0"), "--k must be at least 1, not 0");
    CHECK_STR(number("k", "3.5"), "--k must be a whole number, not '3.5'");
    CHECK_STR(number("k", "three"), "--k must be a whole number, not 'three'");
    CHECK_STR(number("k", "1K"), "--k must be a whole number, not '1K'");
    CHECK_STR(number("memory", "3K"), "3072");
    CHECK_STR(number("memory", "2m"), "2097152");
    CHECK_STR(number("memory", "1.5e1G"), "16106127360");
    CHECK_STR(number("memory", "9223372036854775807"), "9223372036854775807");
    CHECK_STR(number("memory", "9223372036854775808"), "--memory must be a whole number, not '9223372036854775808'");
    CHECK_STR(number("memory", "-9223372036854775808"), "--memory must be a whole number, not '-9223372036854775808'");
    CHECK_STR(number("memory", "8589934592G"), "--memory must be a whole number, not '8589934592G'");
    CHECK_STR(number("memory", "G"), "--memory must be a whole number, not 'G'");
    CHECK_STR(number("memory", "1e300"), "--memory must be a whole number, not '1e300'");
}

static void choices(void)
{
    vt_err err;
    bool b = true;

    CHECK_OK(vt_arg_choice(&options[1], "l2", &err), err);
    CHECK_INT(vt_arg_choice(&options[1], "l3", &err), VT_EINVAL);
    CHECK_STR(err.msg, "--level must be one of l1, l2, not 'l3'");
    CHECK_OK(vt_arg_boolean(&options[7], "no", &b, &err), err);
    CHECK(!b);
    CHECK_INT(vt_arg_boolean(&options[7], "maybe", &b, &err), VT_EINVAL);
}

static void limits(void)
{
    vt_err err;

    CHECK_OK(vt_limit_check(VT_LIMIT_TEMPERATURE, 0, &err), err);
    CHECK_OK(vt_limit_check(VT_LIMIT_TEMPERATURE, 100, &err), err);
    CHECK_INT(vt_limit_check(VT_LIMIT_TEMPERATURE, 150, &err), VT_EINVAL);
    CHECK_STR(err.msg, "temperature must be at most 100, not 150");
    CHECK_INT(vt_limit_check(VT_LIMIT_TOP_P, 0, &err), VT_EINVAL);
    CHECK_INT(vt_limit_check(VT_LIMIT_LR, NAN, &err), VT_EINVAL);
    CHECK_INT(vt_limit_check(VT_LIMIT_LR, INFINITY, &err), VT_EINVAL);
    CHECK_STR(err.msg, "lr must be a finite number, not inf");
    /* Above 0 as a double, 0 in the float that a request holds. */
    CHECK_INT(vt_limit_check(VT_LIMIT_TOP_P, 1e-60, &err), VT_EINVAL);
    CHECK_STR(err.msg, "top_p must be above 0, not 1e-60, which is 0 in single precision");
    CHECK_STR(vt_limit_name(VT_LIMIT_MAX_TOKENS), "max_tokens");
}

static void suggestions(void)
{
    static const char *const names[] = {"temperature", "max_tokens", "top_p", "top_k", "stop", "k"};
    char text[VT_HINT_MAX], small[12];

    CHECK_STR(vt_nearest("temprature", names, 6), "temperature");
    CHECK_STR(vt_nearest("maxtokens", names, 6), "max_tokens");
    CHECK_STR(vt_nearest("tpo_p", names, 6), "top_p"); /* a swap counts once */
    CHECK_STR(vt_nearest("temp", names, 6), "temperature");
    CHECK_STR(vt_nearest("top", names, 6), "stop");
    CHECK(vt_nearest("steps", names, 6) == NULL);
    CHECK(vt_nearest("", names, 6) == NULL);
    vt_hint("zzzz", names, 6, "", text, sizeof text);
    CHECK_STR(text, "; known: k, max_tokens, stop, temperature, top_k, top_p");
    vt_hint("zzzz", names, 6, "--", small, sizeof small);
    CHECK_INT(strlen(small), sizeof small - 1);
}

static const struct test_case cases[] = {TEST(forms),   TEST(refusals), TEST(numbers),    TEST(whole_numbers),
                                         TEST(choices), TEST(limits),   TEST(suggestions)};
TEST_MAIN(cases)
