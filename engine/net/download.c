/* SPDX-License-Identifier: Apache-2.0
 *
 * download.c: attempts at a file, each of which asks for what is missing (Range). A server that gives the whole file
 * instead is taken at its word, and what had come is dropped; one that gives another part is not. Connections that
 * break are no failure while bytes come: the count of tries begins anew with every attempt that brought some.
 *
 * Redirects are followed here, since stores of large files live of them; the credential stays with the host that it is
 * for. Before the file gets its name its size and its SHA-256 are compared, where they are known.
 */
#include "net/download.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FRUITLESS = 8, MAX_REDIRECTS = 6 };
static const double most_wait_s = 10;

struct getting {
    const struct vt_net_download *d;
    char *part;
    char url[4096];
    int fd;
    int64_t have; /* bytes of the part */
    bool has_begun;
    int write_errno;
};

/* --- bytes --- */

static bool take(void *arg, int status, const char *bytes, size_t n)
{
    struct getting *g = arg;

    if (!g->has_begun && status != 206 && g->have > 0) { /* the whole of it */
        g->have = 0;
        if (ftruncate(g->fd, 0) != 0)
            g->write_errno = errno;
    }
    g->has_begun = true;
    for (size_t done = 0; g->write_errno == 0 && done < n;) {
        const ssize_t k = pwrite(g->fd, bytes + done, n - done, (off_t)g->have);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            g->write_errno = k < 0 ? errno : ENOSPC;
        else
            g->have += k, done += (size_t)k;
    }
    if (g->d->progress)
        g->d->progress(g->d->arg, g->have);
    return g->write_errno == 0 && (g->d->size < 0 || g->have <= g->d->size);
}

/* --- addresses --- */

static bool same_host(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *ua = curl_url(), *ub = curl_url();
    bool same = ua && ub && curl_url_set(ua, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(ub, CURLUPART_URL, b, 0) == CURLUE_OK;

    for (size_t i = 0; same && i < sizeof parts / sizeof parts[0]; i++) {
        char *va = NULL, *vb = NULL;

        same = curl_url_get(ua, parts[i], &va, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               curl_url_get(ub, parts[i], &vb, CURLU_DEFAULT_PORT) == CURLUE_OK && strcmp(va, vb) == 0;
        curl_free(va);
        curl_free(vb);
    }
    curl_url_cleanup(ua);
    curl_url_cleanup(ub);
    return same;
}

/* What location means at g's address becomes g's address. */
static bool follow(struct getting *g, const char *location)
{
    CURLU *u = curl_url();
    char *whole = NULL;
    bool is_good = u && curl_url_set(u, CURLUPART_URL, g->url, 0) == CURLUE_OK &&
                   curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
                   curl_url_get(u, CURLUPART_URL, &whole, 0) == CURLUE_OK && strlen(whole) < sizeof g->url;

    if (is_good)
        snprintf(g->url, sizeof g->url, "%s", whole);
    curl_free(whole);
    curl_url_cleanup(u);
    return is_good;
}

/* --- attempts --- */

static vt_status attempt(struct vt_net *n, struct getting *g, struct vt_net_answer *a, vt_err *err)
{
    char range[64];
    const char *headers[3] = {range};

    snprintf(range, sizeof range, "Range: bytes=%lld-", (long long)g->have);
    if (g->d->credential && same_host(g->url, g->d->url))
        headers[1] = g->d->credential;
    g->has_begun = false;
    vt_status status = vt_net_ask(n,
                                  &(struct vt_http_request){.method = "GET",
                                                            .url = g->url,
                                                            .headers = g->have > 0 ? headers : headers + 1,
                                                            .what = g->d->what,
                                                            .max_attempts = 1,
                                                            .on_data = take,
                                                            .arg = g},
                                  g->d->stop_fd, a, err);

    free(a->body);
    if (g->write_errno)
        return vt_fail(err, VT_EIO, "cannot write %s: %s; what has come stays there, and the same again goes on",
                       g->part, strerror(g->write_errno));
    return status;
}

/* The server has another file than the one that the part is of. */
static vt_status drop_part(struct getting *g, const char *why, vt_err *err)
{
    if (ftruncate(g->fd, 0) == 0)
        g->have = 0;
    return vt_fail(err, VT_EFORMAT, "%s is not what it should be: %s; what had come was dropped", g->d->what, why);
}

static vt_status wait_a_while(const struct getting *g, int n_fruitless, const struct vt_net_answer *a, vt_err *err)
{
    double s = 0.25 * (double)(1 << n_fruitless);
    struct pollfd fd = {.fd = g->d->stop_fd, .events = POLLIN};

    s = a->retry_after_s > s ? a->retry_after_s : s < most_wait_s ? s : most_wait_s;
    return poll(&fd, 1, (int)(s * 1e3)) > 0 ? vt_fail(err, VT_ECANCELLED, "%s was cancelled", g->d->what) : VT_OK;
}

/* Until all has come. */
static vt_status get_all(struct vt_net *n, struct getting *g, vt_err *err)
{
    int n_fruitless = 0, n_redirects = 0;

    for (;;) {
        const int64_t before = g->have;
        struct vt_net_answer a;
        vt_status status = attempt(n, g, &a, err);

        if (status == VT_OK && a.status == 206 && a.from != before)
            return drop_part(g, "the server gave another part of it than was asked for", err);
        if (g->d->size >= 0 && g->have > g->d->size)
            return drop_part(g, "it is longer than the server says", err);
        if (status == VT_OK && (g->d->size < 0 || g->have == g->d->size))
            return VT_OK;
        if (status == VT_EIO || status == VT_ECANCELLED)
            return status;
        if (a.status / 100 == 3 && a.location[0] && n_redirects++ < MAX_REDIRECTS && follow(g, a.location))
            continue;
        if (a.status == 416 && g->have > 0) /* the part is longer than the file */
            return drop_part(g, "the server has less of it", err);
        n_fruitless = g->have > before ? 0 : n_fruitless + 1;
        if (status == VT_OK)
            status = vt_fail(err, VT_ENET, "%s: the server gave %lld bytes of %lld", g->d->what, (long long)g->have,
                             (long long)g->d->size);
        else if (!a.may_try_again)
            return status;
        if (n_fruitless > MAX_FRUITLESS || a.retry_after_s > VT_HTTP_MOST_ASKED_S)
            return status;
        VT_TRY(wait_a_while(g, n_fruitless, &a, err));
        snprintf(g->url, sizeof g->url, "%s", g->d->url); /* what it redirects to may have run out */
        n_redirects = 0;
    }
}

static vt_status check(struct getting *g, vt_err *err)
{
    char hex[VT_SHA256_HEX];

    if (!g->d->sha256)
        return VT_OK;
    VT_TRY(vt_sha256_file(g->part, hex, err));
    return strcmp(hex, g->d->sha256) == 0 ? VT_OK : drop_part(g, "its SHA-256 is another", err);
}

vt_status vt_net_download(struct vt_net *n, const struct vt_net_download *d, vt_err *err)
{
    struct getting g = {.d = d, .fd = -1};
    const size_t len = strlen(d->path) + sizeof ".part";
    vt_status status = VT_OK;

    g.part = vt_alloc(len);
    if (!g.part || strlen(d->url) >= sizeof g.url) {
        free(g.part);
        return vt_fail(err, VT_ENOMEM, "no room for the address of %s", d->what);
    }
    snprintf(g.part, len, "%s.part", d->path);
    snprintf(g.url, sizeof g.url, "%s", d->url);
    g.fd = open(g.part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    g.have = g.fd >= 0 ? vt_fs_size(g.part) : 0;
    if (g.fd < 0)
        status = vt_fail(err, VT_EIO, "cannot write %s: %s", g.part, strerror(errno));
    if (status == VT_OK && d->size >= 0 && g.have > d->size && ftruncate(g.fd, 0) == 0)
        g.have = 0;
    if (status == VT_OK && (d->size < 0 || g.have != d->size))
        status = get_all(n, &g, err);
    if (status == VT_OK)
        status = check(&g, err);
    if (g.fd >= 0)
        close(g.fd);
    if (status == VT_OK && rename(g.part, d->path) != 0)
        status = vt_fail(err, VT_EIO, "cannot move %s to %s: %s", g.part, d->path, strerror(errno));
    free(g.part);
    return status;
}
