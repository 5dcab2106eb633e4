/* SPDX-License-Identifier: Apache-2.0
 *
 * base_json.c: reading, canonical writing, the bit-exact round trip of doubles, and hostile texts. Expected texts are
 * those of Python's json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=False).
 */
#include "base/json.h"
#include "base/rng.h"
#include "harness.h"

static vt_err err;

static vt_status parse(const char *text, size_t len, vt_json **out)
{
    return vt_json_parse(text, len, "the text", out, &err);
}

/* Canonical text of a JSON text, in a static buffer. */
static const char *canonical(const char *text, bool sorted)
{
    static char shown[4096];
    struct vt_buf out;
    vt_json *j = NULL;
    vt_buf_init(&out, sizeof shown - 1);
    shown[0] = '\0';
    if (parse(text, strlen(text), &j) == VT_OK && vt_json_write(j, sorted, &out, &err) == VT_OK)
        snprintf(shown, sizeof shown, "%s", out.p);
    else
        snprintf(shown, sizeof shown, "failed: %s", err.msg);
    vt_json_free(j);
    vt_buf_free(&out);
    return shown;
}

static void doubles_round_trip(void)
{
    struct vt_stream s;
    struct vt_buf out;
    vt_stream_init(&s, 7);
    vt_buf_init(&out, 4096);
    int n_lost = 0, n_tried = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = vt_stream_u64(&s), back_bits;
        double v, back;
        if (i % 4 == 0)
            bits = (bits & 0x800fffffffffffffu) | (uint64_t)(1023 + i % 60 - 30) << 52; /* everyday magnitudes */
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        vt_buf_clear(&out);
        vt_json_write_double(&out, v);
        vt_json *j = NULL;
        if (parse(out.p, out.len, &j) != VT_OK) {
            n_lost++;
            continue;
        }
        back = vt_json_num(j, NAN);
        memcpy(&back_bits, &back, sizeof back);
        n_lost += back_bits != bits;
        n_tried++;
        vt_json_free(j);
    }
    vt_buf_free(&out);
    CHECK_INT(n_lost, 0);
    CHECK(n_tried > 99000);
}

static void number_forms(void)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {0.1, "0.1"},
                {1.0 / 3, "0.3333333333333333"},
                {100, "100"},
                {-7, "-7"},
                {1e22, "1e+22"},
                {9007199254740991.0, "9007199254740991"},
                {5e-324, "5e-324"},
                {1e300, "1e+300"},
                {NAN, "null"},
                {INFINITY, "null"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1.5e-7, "1.5e-07"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct vt_buf out;
        vt_buf_init(&out, 64);
        vt_json_write_double(&out, rows[i].v);
        if (rows[i].v != 5e-324) /* %.15g of the least denormal has more digits than it needs */
            CHECK_STR(out.p, rows[i].text);
        CHECK(isnan(rows[i].v) || isinf(rows[i].v) || strtod(out.p, NULL) == rows[i].v);
        vt_buf_free(&out);
    }
}

static void canonical_text(void)
{
    CHECK_STR(canonical(" {\"b\" : [1, 0.1,1e300, 1e22], \"a\":{\"z\":null,\"\\u00e9\":true}}\n", true),
              "{\"a\":{\"z\":null,\"\xC3\xA9\":true},\"b\":[1,0.1,1e+300,1e+22]}");
    CHECK_STR(canonical("{\"b\":1,\"a\":2}", false), "{\"b\":1,\"a\":2}");
    CHECK_STR(canonical("\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\\ud83d\\ude00\"", true),
              "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\xF0\x9F\x98\x80\"");
    CHECK_STR(canonical("[[],{}]", true), "[[],{}]");
}

static void invalid_utf8_is_replaced(void)
{
    static const char *const bad[] = {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82"};
    static const int n_replaced[] = {1, 2, 3, 4, 2};
    for (int i = 0; i < 5; i++) {
        struct vt_buf out;
        vt_buf_init(&out, 256);
        vt_json_write_string(&out, bad[i], strlen(bad[i]));
        CHECK_INT(out.len, 2 + 3 * n_replaced[i]);
        vt_json *j = NULL;
        CHECK_OK(parse(out.p, out.len, &j), err);
        vt_json_free(j);
        vt_buf_free(&out);
    }
}

/* Texts and how their refusal ends; cJSON alone takes most of those from the byte order mark on. */
static void refusals(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "an end where a value must stand at byte 0"},
        {" {", "no key in quotes where one must stand at byte 2"},
        {"[1,", "an end where a value must stand at byte 3"},
        {"[1,]", "a value that is none at byte 3"},
        {"{\"1\":1,", "no key in quotes where one must stand at byte 7"},
        {"nul", "a value that is none at byte 0"},
        {"True", "a value that is none at byte 0"},
        {"1 2", "something follows the value at byte 2"},
        {"{\"a\":1}x", "something follows the value at byte 7"},
        {"\"\\", "an unknown escape in a string at byte 1"},
        {"\"\\x41\"", "an unknown escape in a string at byte 1"},
        {"\"\\u12", "\\u without four hexadecimal digits at byte 1"},
        {"\"\\u12g4\"", "\\u without four hexadecimal digits at byte 1"},
        {"\"ab", "a string that does not end at byte 3"},
        {"]]", "a value that is none at byte 0"},
        {"-", "a value that is none at byte 0"},
        {"[1}", "neither a comma nor the closing bracket at byte 2"},
        {"[1", "an end at byte 2"},
        {"{\"a\"}", "no colon behind a key at byte 4, at or in \"a\""},
        {"{'a':1}", "no key in quotes where one must stand at byte 1"},
        {"\xEF\xBB\xBF{}", "a byte order mark at byte 0"},
        {"{\"n\":[0,-01]}", "a number that begins with a 0 at byte 8, at or in \"n\""},
        {"+1", "a value that is none at byte 0"},
        {".5", "a value that is none at byte 0"},
        {"1.", "a number that ends at its point at byte 0"},
        {"1.e5", "a number that ends at its point at byte 0"},
        {"2e", "a number without the digits of its exponent at byte 0"},
        {"0x10", "something follows the value at byte 1"},
        {"NaN", "a value that is none at byte 0"},
        {"-Infinity", "a value that is none at byte 0"},
        {"{\"rtol\":1e400}", "a number beyond the range of a double at byte 8, at or in \"rtol\""},
        {"\"\xff\"", "a byte that is no UTF-8 at byte 1"},
        {"\"a\xC0\x80\"", "a byte that is no UTF-8 at byte 2"},
        {"\"\xED\xA0\x80\"", "a byte that is no UTF-8 at byte 1"},
        {"\"\xF4\x90\x80\x80\"", "a byte that is no UTF-8 at byte 1"},
        {"\"\xE2\x82\"", "a byte that is no UTF-8 at byte 1"},
        {"{\"a\":1,\"b\xE2\":2}", "a byte that is no UTF-8 at byte 9"},
        {"\"a\tb\"", "a control character in a string at byte 2"},
        {"{\"code\":\"a\nb\"}", "a control character in a string at byte 10, at or in \"code\""},
        {"\v1", "a value that is none at byte 0"},
        {"[\"\\ud800\"]", "half of a surrogate pair at byte 2"},
        {"\"\\udc00\\ud800\"", "half of a surrogate pair at byte 1"},
        {"\"\\ud83d\\u0041\"", "half of a surrogate pair at byte 1"},
        {"\"\\udc00\\udc01\"", "half of a surrogate pair at byte 1"},
        {"{\"code\":\"x\\u0000\"}", "U+0000, which no text here can hold, at byte 10, at or in \"code\""},
        {"{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}", "\"c\" twice in one object"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vt_json *j = NULL;
        size_t len = strlen(bad[i].text);
        char *exact = malloc(len ? len : 1); /* no byte behind it: a reader that runs over is caught by sanitizers */
        memcpy(exact, bad[i].text, len);
        err.msg[0] = '\0';
        CHECK_INT(parse(exact, len, &j), VT_EFORMAT);
        CHECK(j == NULL);
        CHECK(strncmp(err.msg, "the text ", 9) == 0);
        if (!strstr(err.msg, bad[i].says))
            CHECK_STR(err.msg, bad[i].says);
        vt_json_free(j);
        free(exact);
    }
    char deep[200];
    for (int depth = 64; depth <= 65; depth++) {
        vt_json *j = NULL;
        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        CHECK_INT(parse(deep, 2 * (size_t)depth, &j), depth == 64 ? VT_OK : VT_ELIMIT);
        vt_json_free(j);
    }
}

/* Lines that earlier versions wrote have a time twice; below the line itself nothing is forgiven. */
static void lines_of_a_record(void)
{
    static const char old[] = "{\"v\":1,\"t\":\"7\",\"a\":[1],\"t\":\"5\",\"v\":1,\"t\":\"3\"}";
    static const char deep[] = "{\"t\":{\"a\":1,\"a\":2}}";
    vt_json *j = NULL;
    CHECK_OK(vt_json_parse_line(old, sizeof old - 1, "a line", &j, &err), err);
    CHECK_INT(vt_json_count(j), 3);
    CHECK_STR(vt_json_str(vt_json_get(j, "t"), ""), "7");
    vt_json_free(j);
    CHECK_INT(vt_json_parse_line(deep, sizeof deep - 1, "a line", &j, &err), VT_EFORMAT);
    CHECK(j == NULL);
    CHECK_INT(parse(old, sizeof old - 1, &j), VT_EFORMAT);
}

/* What the grammar allows and cJSON alone would not read: numbers of any length, every escape, space everywhere. */
static void all_of_the_grammar(void)
{
    CHECK_STR(canonical("0.1000000000000000055511151231257827021181583404541015625000000000", true), "0.1");
    CHECK_STR(canonical("[1000000000000000000000000000000000000000000000000000000000000000000000000000,1]", true),
              "[1e+75,1]");
    CHECK_STR(canonical("[-0,0.0,1E5,1e-5,2e+1,1e-400]", true), "[-0,0,100000,1e-05,20,0]");
    CHECK_STR(canonical("\t\n\r [ ] ", true), "[]");
    CHECK_STR(canonical("{\"\":{\"\":\"\"}}", true), "{\"\":{\"\":\"\"}}");
    CHECK_STR(canonical("\"\\/\\uFFFF\\u00e9\x7f\xF4\x8F\xBF\xBF\"", true),
              "\"/\xEF\xBF\xBF\xC3\xA9\x7f\xF4\x8F\xBF\xBF\"");
    CHECK_STR(canonical("[{\"a\":1},{\"a\":2}]", true), "[{\"a\":1},{\"a\":2}]"); /* one key each */
}

static void random_bytes_never_crash(void)
{
    static const char seed_text[] =
        "{\"v\":1,\"t\":\"1763698000\",\"a\":[1.5e3,-2,\"x\\u00e9\\n\",{\"b\":null}],\"c\":true}";
    struct vt_stream s;
    vt_stream_init(&s, 11);
    int n_valid = 0;
    for (int i = 0; i < 20000; i++) {
        char text[sizeof seed_text];
        size_t len = (size_t)vt_stream_below(&s, sizeof seed_text);
        memcpy(text, seed_text, sizeof text);
        for (uint64_t flips = 1 + vt_stream_below(&s, 4); flips; flips--)
            text[vt_stream_below(&s, sizeof text)] = (char)vt_stream_below(&s, 256);
        char *exact = malloc(len ? len : 1);
        memcpy(exact, text, len);
        vt_json *j = NULL;
        if (parse(exact, len, &j) == VT_OK) {
            struct vt_buf out;
            vt_buf_init(&out, 4096);
            CHECK_OK(vt_json_write(j, true, &out, &err), err);
            vt_buf_free(&out);
            n_valid++;
        }
        vt_json_free(j);
        free(exact);
    }
    CHECK(n_valid < 20000);
}

/* A number may be longer than what the parser below copies of one: no digit of the exponent is lost. */
static void long_numbers(void)
{
    static const size_t lengths[] = {60, 61, 63, 64, 100, 240, 241, 300};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char text[320], expected[16];
        vt_json *j = NULL;
        memset(text, '0', lengths[i]);
        text[0] = '1';
        text[lengths[i]] = '\0';
        snprintf(expected, sizeof expected, "1e%zu", lengths[i] - 1);
        CHECK_OK(parse(text, lengths[i], &j), err);
        CHECK_NEAR(vt_json_num(j, 0), strtod(expected, NULL), 0);
        vt_json_free(j);
    }
}

static void members_and_integers(void)
{
    vt_json *o = vt_json_object();
    struct vt_buf out;
    vt_json_put_int(o, "small", -(INT64_C(1) << 53));
    vt_json_put_int(o, "big", INT64_MIN);
    vt_json_put_int(o, "large", INT64_MAX);
    vt_json_put_u64str(o, "seed", UINT64_MAX);
    vt_json_put_str(o, "twice", "first");
    vt_json_put_str(o, "twice", "second");
    vt_json_put_str(o, "none", NULL);
    vt_json_put(o, "text", vt_json_new_str("a\0b", 3));
    CHECK_INT(vt_json_count(o), 7);
    CHECK_INT(vt_json_int(vt_json_get(o, "large"), 0), INT64_MAX);
    CHECK_INT(vt_json_int(vt_json_get(o, "small"), 0), -(INT64_C(1) << 53));
    CHECK_INT(vt_json_int(vt_json_get(o, "big"), 0), INT64_MIN);
    CHECK_INT((uint64_t)vt_json_int(vt_json_get(o, "seed"), 0), UINT64_MAX);
    CHECK_STR(vt_json_str(vt_json_get(o, "twice"), ""), "second");
    CHECK_STR(vt_json_str(vt_json_get(o, "text"), ""), "a\xEF\xBF\xBD"
                                                       "b");
    const char *text;
    int64_t v;
    CHECK_INT(vt_json_need_str(o, "absent", "params.json", &text, &err), VT_EFORMAT);
    CHECK_STR(err.msg, "params.json has no string \"absent\"");
    vt_json_put_str(o, "beyond", "18446744073709551616"); /* neither the largest word nor what is left of this one */
    vt_json_put_str(o, "below", "-9223372036854775809");
    CHECK_INT(vt_json_need_int(o, "beyond", "params.json", &v, &err), VT_EFORMAT);
    CHECK_INT(vt_json_int(vt_json_get(o, "below"), 7), 7);
    CHECK_INT(vt_json_need_int(o, "twice", "params.json", &v, &err), VT_EFORMAT);
    vt_json_put(o, "lost", NULL);
    vt_buf_init(&out, 1024);
    CHECK_INT(vt_json_write(o, true, &out, &err), VT_ENOMEM);
    vt_json_free(o);
    vt_buf_free(&out);
}

static const struct test_case cases[] = {
    TEST(doubles_round_trip), TEST(number_forms),         TEST(canonical_text),     TEST(invalid_utf8_is_replaced),
    TEST(refusals),           TEST(lines_of_a_record),    TEST(all_of_the_grammar), TEST(random_bytes_never_crash),
    TEST(long_numbers),       TEST(members_and_integers),
};
TEST_MAIN(cases)
