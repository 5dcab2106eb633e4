/* SPDX-License-Identifier: Apache-2.0
 *
 * base_hash.c: SHA-256 against the FIPS 180-4 examples and field framing; Philox 4x32-10 against the published
 * known answers of Random123; the twister against CPython's random module.
 */
#include "base/fs.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "harness.h"
#include "numbers.h"

static void sha256_known_answers(void)
{
    char hex[VT_SHA256_HEX];
    vt_sha256_of("", 0, hex);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    vt_sha256_of("abc", 3, hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct vt_sha256 s;
    char block[997];
    memset(block, 'a', sizeof block);
    vt_sha256_init(&s);
    for (size_t left = 1000000; left;) { /* uneven pieces cross every block boundary */
        size_t n = left < sizeof block ? left : sizeof block;
        vt_sha256_add(&s, block, n);
        left -= n;
    }
    vt_sha256_hex(&s, hex);
    CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void every_split_hashes_alike(void)
{
    char text[200], whole[VT_SHA256_HEX], parts[VT_SHA256_HEX];
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len < sizeof text; len++) {
        vt_sha256_of(text, len, whole);
        struct vt_sha256 s;
        vt_sha256_init(&s);
        vt_sha256_add(&s, text, len / 3);
        vt_sha256_add(&s, text + len / 3, len - len / 3);
        vt_sha256_hex(&s, parts);
        CHECK_STR(parts, whole);
    }
}

static void file_hash(void)
{
    char path[] = "/tmp/vegttt-hash-XXXXXX", hex[VT_SHA256_HEX];
    vt_err err;
    int fd = mkstemp(path);
    CHECK_OK(vt_sha256_file(path, hex, &err), err);
    CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_INT(write(fd, "abc", 3), 3);
    CHECK_OK(vt_sha256_file(path, hex, &err), err);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    close(fd);
    unlink(path);
    CHECK_INT(vt_sha256_file(path, hex, &err), VT_ENOENT);
}

static void hash_two(const char *name1, const char *text1, const char *name2, const char *text2, char *hex)
{
    struct vt_sha256 s;
    vt_sha256_init(&s);
    vt_hash_str(&s, name1, text1);
    vt_hash_str(&s, name2, text2);
    vt_sha256_hex(&s, hex);
}

static void fields_are_framed(void)
{
    char a[VT_SHA256_HEX], b[VT_SHA256_HEX];
    hash_two("ab", "c", "d", "", a);
    hash_two("a", "bc", "d", "", b);
    CHECK(strcmp(a, b) != 0);
    hash_two("x", "", "y", "z", a);
    hash_two("x", NULL, "y", "z", b);
    CHECK(strcmp(a, b) != 0);
    struct vt_sha256 s, t;
    vt_sha256_init(&s);
    vt_hash_field(&s, "a", "b\1\0\0\0\0\0\0\0cd",
                  11); /* what "a" = "b", "c" = "d" would be without lengths of values */
    vt_sha256_hex(&s, a);
    hash_two("a", "b", "c", "d", b);
    CHECK(strcmp(a, b) != 0);
    vt_sha256_init(&s);
    vt_sha256_init(&t);
    vt_hash_f64(&s, "v", -0.0);
    vt_hash_f64(&t, "v", 0.0);
    vt_sha256_hex(&s, a);
    vt_sha256_hex(&t, b);
    CHECK_STR(a, b);
}

static void philox_known_answers(void)
{
    static const struct {
        uint64_t key, hi, lo;
        uint32_t out[4];
    } rows[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822u,
         0x0370734413198a2eu,
         0x85a308d3243f6a88u,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        vt_philox(rows[i].key, rows[i].hi, rows[i].lo, out);
        for (int k = 0; k < 4; k++)
            CHECK_INT(out[k], rows[i].out[k]);
    }
}

static void stream_moments(void)
{
    struct vt_stream s;
    double sum = 0, squares = 0, uniform = 0;
    int n = 200000, count[6] = {0};
    vt_stream_init(&s, vt_seed_str(1, "moments"));
    for (int i = 0; i < n; i++) {
        double z = normal(&s), u = vt_stream_uniform(&s);
        CHECK(u >= 0 && u < 1);
        sum += z;
        squares += z * z;
        uniform += u;
        count[vt_stream_below(&s, 6)]++;
    }
    CHECK_NEAR(sum / n, 0, 5 / sqrt(n));
    CHECK_NEAR(squares / n, 1, 5 * sqrt(2.0 / n));
    CHECK_NEAR(uniform / n, 0.5, 5 * sqrt(1.0 / 12 / n));
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(count[i], n / 6.0, 5 * sqrt(n * 5.0 / 36));
    uint64_t third = UINT64_C(1) << 62; /* of 3 * 2^62, which does not divide 2^64 */
    int below = 0;
    for (int i = 0; i < n; i++)
        below += vt_stream_below(&s, 3 * third) < third;
    CHECK_NEAR(below, n / 3.0, 5 * sqrt(n * 2.0 / 9));
    CHECK(vt_seed_mix(1, 2) != vt_seed_mix(2, 1));
    CHECK(vt_seed_str(1, "a") != vt_seed_str(1, "b"));
}

static void twister_is_cpython(void)
{
    static const struct {
        uint64_t seed;
        uint32_t first[4];
        int order[10];
    } rows[] = {
        {0, {3626764237, 1654615998, 3255389356, 3823568514}, {7, 8, 1, 5, 3, 4, 2, 0, 9, 6}},
        {42, {2746317213, 478163327, 107420369, 3184935163}, {7, 3, 2, 8, 5, 6, 9, 4, 0, 1}},
        {4294967301, {675479763, 2085189291, 1213270837, 3822202474}, {5, 3, 6, 1, 9, 0, 8, 4, 7, 2}},
        {UINT64_MAX, {93740670, 1068495656, 1452108352, 2657516307}, {2, 6, 7, 9, 8, 1, 4, 5, 3, 0}},
    };
    for (int i = 0; i < 4; i++) {
        struct vt_mt19937 m;
        int items[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
        vt_mt19937_seed(&m, rows[i].seed);
        for (int k = 0; k < 4; k++)
            CHECK_INT(vt_mt19937_next(&m), rows[i].first[k]);
        vt_mt19937_seed(&m, rows[i].seed);
        vt_mt19937_shuffle(&m, items, 10);
        for (int k = 0; k < 10; k++)
            CHECK_INT(items[k], rows[i].order[k]);
    }
}

static const struct test_case cases[] = {
    TEST(sha256_known_answers), TEST(every_split_hashes_alike), TEST(file_hash),          TEST(fields_are_framed),
    TEST(philox_known_answers), TEST(stream_moments),           TEST(twister_is_cpython),
};
TEST_MAIN(cases)
