/* SPDX-License-Identifier: Apache-2.0
 *
 * redis_address.c: the address of a queue as it stands on a command line, and the password file that it names.
 *
 * A password reads nowhere but from a file that is its owner's alone: command lines are in every process list, and the
 * settings of a run are written down with it.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/nearest.h"
#include "net/redis.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_PART = 255, MAX_PASSWORD = 4096, DEFAULT_PORT = 6379 };

static vt_status cut(const char *from, const char *to, char **out, vt_err *err)
{
    *out = vt_strndup(from, (size_t)(to - from));
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for the address of a queue");
}

static vt_status read_password(const char *path, char **out, vt_err *err)
{
    struct stat st;
    struct vt_buf text;
    if (stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return vt_fail(err, VT_EINVAL,
                       "the password file %s can be read by others (mode %03o); chmod 600 it and change the password",
                       path, st.st_mode & 0777);
    VT_TRY(vt_fs_read_regular(path, MAX_PASSWORD, &text, err));
    size_t n = strcspn(text.p, "\r\n");
    vt_status s = n ? cut(text.p, text.p + n, out, err)
                    : vt_fail(err, VT_EINVAL, "the password file %s begins with an empty line", path);
    explicit_bzero(text.p, text.len);
    vt_buf_free(&text);
    return s;
}

static vt_status read_option(struct vt_redis_address *a, const char *p, const char *end, vt_err *err)
{
    static const char *const names[] = {"password", "ca", "class"};
    const char *is = memchr(p, '=', (size_t)(end - p));
    char name[32], hint[VT_HINT_MAX], *value = NULL;
    const size_t len = (size_t)((is ? is : end) - p);
    snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), p);
    size_t which = 0;
    while (which < 3 && strcmp(name, names[which]) != 0)
        which++;
    if (which == 3) {
        vt_hint(name, names, 3, "", hint, sizeof hint);
        return vt_fail(err, VT_EINVAL, "the address of a queue has no option '%s'%s", name, hint);
    }
    if (!is || is + 1 == end)
        return vt_fail(err, VT_EINVAL, "the option %s of a queue's address has no value", name);
    VT_TRY(cut(is + 1, end, &value, err));
    char **place[] = {&a->password, &a->ca_file, &a->class_wanted};
    if (*place[which]) {
        free(value);
        return vt_fail(err, VT_EINVAL, "the option %s stands twice in the address of a queue", name);
    }
    if (which != 0) {
        *place[which] = value;
        return VT_OK;
    }
    vt_status s = read_password(value, &a->password, err);
    free(value);
    return s;
}

static vt_status read_port(struct vt_redis_address *a, const char *p, const char *end, vt_err *err)
{
    int port = 0;
    for (; p < end && *p >= '0' && *p <= '9' && port <= 65535; p++)
        port = 10 * port + (*p - '0');
    if (p != end || port < 1 || port > 65535)
        return vt_fail(err, VT_EINVAL, "the port of a queue's address is a number from 1 to 65535");
    a->port = port;
    return VT_OK;
}

/* [USER@]HOST[:PORT] */
static vt_status read_server(struct vt_redis_address *a, const char *p, const char *end, vt_err *err)
{
    const char *at = memchr(p, '@', (size_t)(end - p));
    if (at) {
        if (memchr(p, ':', (size_t)(at - p)))
            return vt_fail(err, VT_EINVAL,
                           "the address of a queue has a password in it, which everybody on the machine can read; "
                           "put it into a file of mode 600 and say ?password=FILE");
        VT_TRY(cut(p, at, &a->user, err));
        p = at + 1;
    }
    const char *bracket = p < end && *p == '[' ? memchr(p, ']', (size_t)(end - p)) : NULL; /* [::1]:6379 */
    const char *host_end = bracket ? bracket + 1 : memchr(p, ':', (size_t)(end - p));
    if (!host_end)
        host_end = end;
    if (host_end == p)
        return vt_fail(err, VT_EINVAL, "the address of a queue names no host");
    VT_TRY(cut(p, host_end, &a->host, err));
    a->port = DEFAULT_PORT;
    if (host_end == end)
        return VT_OK;
    return *host_end == ':' ? read_port(a, host_end + 1, end, err)
                            : vt_fail(err, VT_EINVAL, "the address of a queue has '%c' behind its host", *host_end);
}

static vt_status read_name(struct vt_redis_address *a, const char *p, const char *end, vt_err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (p == end || strspn(p, allowed) < (size_t)(end - p))
        return vt_fail(err, VT_EINVAL,
                       "the address of a queue ends with its name, letters, digits and . _ -: redis://HOST/study1");
    return cut(p, end, &a->name, err);
}

vt_status vt_redis_address_read(const char *url, struct vt_redis_address *out, vt_err *err)
{
    static const char *const schemes[] = {"redis://", "rediss://"};
    *out = (struct vt_redis_address){0};
    size_t which = 0;
    while (which < 2 && strncmp(url, schemes[which], strlen(schemes[which])) != 0)
        which++;
    if (which == 2)
        return vt_fail(err, VT_EINVAL,
                       "a queue's address is redis://HOST[:PORT]/NAME, or rediss://… with TLS, not '%.60s'", url);
    const char *p = url + strlen(schemes[which]), *end = p + strcspn(p, "?"),
               *slash = memchr(p, '/', (size_t)(end - p));
    out->has_tls = which == 1;
    vt_status s = strlen(url) > 16 * MAX_PART ? vt_fail(err, VT_ELIMIT, "the address of a queue is too long") : VT_OK;
    if (s == VT_OK && !slash)
        s = vt_fail(err, VT_EINVAL,
                    "the address of a queue ends with its name: redis://HOST[:PORT]/NAME; it lacks the /NAME");
    if (s == VT_OK)
        s = read_server(out, p, slash, err);
    if (s == VT_OK)
        s = read_name(out, slash + 1, end, err);
    for (p = end; s == VT_OK && *p; p = end) { /* at ? or & */
        end = p + 1 + strcspn(p + 1, "&");
        s = read_option(out, p + 1, end, err);
    }
    if (s == VT_OK && out->user && !out->password)
        s = vt_fail(err, VT_EINVAL, "the address of a queue names the user %.64s and no password; add ?password=FILE",
                    out->user);
    if (s != VT_OK)
        vt_redis_address_free(out);
    return s;
}

void vt_redis_address_free(struct vt_redis_address *a)
{
    if (a->password)
        explicit_bzero(a->password, strlen(a->password));
    free(a->host);
    free(a->name);
    free(a->user);
    free(a->password);
    free(a->ca_file);
    free(a->class_wanted);
    *a = (struct vt_redis_address){0};
}
