/* SPDX-License-Identifier: Apache-2.0
 *
 * net_redis_address.c: addresses of queues: what they mean, and each way of being none.
 */
#include "harness.h"
#include "net/redis.h"
#include <sys/stat.h>

static void parts(void)
{
    struct vt_redis_address a;
    vt_err err;
    CHECK_OK(vt_redis_address_read("redis://node7/study-1", &a, &err), err);
    CHECK_STR(a.host, "node7");
    CHECK_STR(a.name, "study-1");
    CHECK_INT(a.port, 6379);
    CHECK(!a.has_tls && !a.user && !a.password && !a.ca_file && !a.class_wanted);
    vt_redis_address_free(&a);
    CHECK_OK(vt_redis_address_read("rediss://[::1]:7000/a?class=0123&ca=/etc/ca.pem", &a, &err), err);
    CHECK_STR(a.host, "[::1]");
    CHECK_INT(a.port, 7000);
    CHECK(a.has_tls);
    CHECK_STR(a.class_wanted, "0123");
    CHECK_STR(a.ca_file, "/etc/ca.pem");
    vt_redis_address_free(&a);
    CHECK(!a.host);
}

static void none(void)
{
    static const struct {
        const char *url, *why;
    } bad[] = {{"http://host/name", "redis://HOST[:PORT]/NAME"},
               {"redis://host", "lacks the /NAME"},
               {"redis://host/", "ends with its name"},
               {"redis://host/a b", "ends with its name"},
               {"redis:///name", "names no host"},
               {"redis://host:0/name", "from 1 to 65535"},
               {"redis://host:99999999999/name", "from 1 to 65535"},
               {"redis://host:12x/name", "from 1 to 65535"},
               {"redis://[::1]x/name", "has 'x' behind its host"},
               {"redis://me:secret@host/name", "?password=FILE"},
               {"redis://me@host/name", "names the user me and no password"},
               {"redis://host/name?pasword=/x", "did you mean 'password'"},
               {"redis://host/name?class=", "has no value"},
               {"redis://host/name?class=a&class=b", "stands twice"},
               {"redis://host/name?password=/nonexistent", "/nonexistent"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct vt_redis_address a;
        vt_err err = {.msg = ""};
        CHECK(vt_redis_address_read(bad[i].url, &a, &err) != VT_OK);
        CHECK(strstr(err.msg, bad[i].why) != NULL);
        CHECK(!strstr(err.msg, "secret"));
        CHECK(!a.host && !a.password);
    }
}

static void passwords(void)
{
    char path[] = "/tmp/vegttt-password-XXXXXX", url[200];
    struct vt_redis_address a;
    vt_err err;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, "two words\nnot this\n", 19) == 19);
    close(fd);
    snprintf(url, sizeof url, "redis://me@host/name?password=%s", path);
    CHECK_OK(vt_redis_address_read(url, &a, &err), err);
    CHECK_STR(a.password, "two words");
    CHECK_STR(a.user, "me");
    vt_redis_address_free(&a);
    CHECK(chmod(path, 0640) == 0);
    CHECK_INT(vt_redis_address_read(url, &a, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "mode 640") != NULL);
    unlink(path);
}

static const struct test_case cases[] = {TEST(parts), TEST(none), TEST(passwords)};
TEST_MAIN(cases)
