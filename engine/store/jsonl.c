/* SPDX-License-Identifier: Apache-2.0
 *
 * jsonl.c: line files.
 *
 * The writer keeps the length of the whole lines it knows of. After a write that fails or comes out short, the file is
 * cut back to that length; when even that fails (a disk that went away) the tail is remembered as torn and cut before
 * the next line. Devices and pipes cannot be cut and need no cutting.
 *
 * The reader maps the file as it was when it was opened, so a writer that appends meanwhile changes nothing.
 */
#include "store/jsonl.h"
#include "base/alloc.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA_VERSION = 1, TAIL_CHUNK = 4096 };

/* Length of the file up to and including its last newline, or -1 with errno set. */
static int64_t whole_lines(int fd, int64_t size)
{
    char chunk[TAIL_CHUNK];
    for (int64_t end = size; end > 0;) {
        int64_t start = end > TAIL_CHUNK ? end - TAIL_CHUNK : 0;
        ssize_t n = pread(fd, chunk, (size_t)(end - start), start);
        if (n < 0)
            return -1;
        const char *newline = memrchr(chunk, '\n', (size_t)n);
        if (newline)
            return start + (newline - chunk) + 1;
        end = start;
    }
    return 0;
}

static vt_status repair_tail(struct vt_jsonl *w, vt_err *err)
{
    struct stat st;
    if (fstat(w->fd, &st) != 0)
        return vt_fail(err, VT_EIO, "cannot inspect %s: %s", w->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return VT_OK;
    int64_t len = whole_lines(w->fd, st.st_size);
    if (len < 0 || (len < st.st_size && ftruncate(w->fd, len) != 0))
        return vt_fail(err, VT_EIO, "cannot cut the torn last line of %s: %s", w->path, strerror(errno));
    w->len = (uint64_t)len;
    return VT_OK;
}

vt_status vt_jsonl_open(struct vt_jsonl *w, const char *path, enum vt_jsonl_mode mode, vt_err *err)
{
    *w = (struct vt_jsonl){.fd = -1};
    vt_buf_init(&w->line, VT_JSONL_LINE_MAX);
    if (!(w->path = vt_strdup(path)))
        return vt_fail(err, VT_ENOMEM, "out of memory while opening %s", path);
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | (mode == VT_JSONL_REBUILD ? O_TRUNC : 0);
    w->fd = open(path, flags, 0644);
    vt_status status = w->fd < 0 ? vt_fail(err, VT_EIO, "cannot open %s for appending: %s", path, strerror(errno))
                                 : repair_tail(w, err);
    if (status != VT_OK)
        vt_jsonl_close(w);
    return status;
}

void vt_jsonl_close(struct vt_jsonl *w)
{
    if (!w->path)
        return;
    if (w->fd >= 0)
        close(w->fd);
    free(w->path);
    vt_buf_free(&w->line);
    *w = (struct vt_jsonl){.fd = -1};
}

struct vt_buf *vt_jsonl_begin(struct vt_jsonl *w)
{
    vt_buf_clear(&w->line);
    vt_buf_printf(&w->line, "{\"v\":%d,\"t\":\"%llu\",\"t_mono\":\"%llu\"", (int)SCHEMA_VERSION,
                  (unsigned long long)vt_wall_ns(), (unsigned long long)vt_now_ns());
    return &w->line;
}

/* The file as it was before the write that failed with `e`. */
static vt_status undo_write(struct vt_jsonl *w, int e, vt_err *err)
{
    struct stat st;
    if (fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > w->len)
        w->has_torn_tail = ftruncate(w->fd, (off_t)w->len) != 0;
    return vt_fail(err, VT_EIO, "cannot append a line to %s: %s; the lines before it are kept", w->path, strerror(e));
}

vt_status vt_jsonl_end(struct vt_jsonl *w, vt_err *err)
{
    vt_buf_puts(&w->line, "}\n");
    VT_TRY(vt_buf_check(&w->line, "a line", err));
    if (w->has_torn_tail) {
        VT_TRY(repair_tail(w, err));
        w->has_torn_tail = false;
    }
    ssize_t n;
    do
        n = write(w->fd, w->line.p, w->line.len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return undo_write(w, errno, err);
    if ((size_t)n < w->line.len)
        return undo_write(w, ENOSPC, err);
    w->len += (uint64_t)n;
    return VT_OK;
}

vt_status vt_jsonl_sync(struct vt_jsonl *w, vt_err *err)
{
    if (fdatasync(w->fd) != 0 && errno != EINVAL && errno != EROFS) /* devices and pipes have nothing to sync */
        return vt_fail(err, VT_EIO, "cannot bring %s to the disk: %s", w->path, strerror(errno));
    return VT_OK;
}

vt_status vt_jsonl_reader_open(struct vt_jsonl_reader *r, const char *path, vt_err *err)
{
    *r = (struct vt_jsonl_reader){0};
    vt_buf_init(&r->light, VT_JSONL_LINE_MAX + 1);
    if (vt_fs_size(path) != 0)
        VT_TRY(vt_map_open(path, &r->map, err));
    if (!(r->path = vt_strdup(path))) {
        vt_map_close(&r->map);
        return vt_fail(err, VT_ENOMEM, "out of memory while opening %s", path);
    }
    return VT_OK;
}

void vt_jsonl_reader_close(struct vt_jsonl_reader *r)
{
    vt_map_close(&r->map);
    free(r->path);
    vt_buf_free(&r->light);
    *r = (struct vt_jsonl_reader){0};
}

/* The line with its arrays of numbers empty, in r->light. */
static vt_status lighten(struct vt_jsonl_reader *r, const char *text, size_t len, const char *what, vt_err *err)
{
    size_t from = 0; /* what has not been taken over yet */
    bool is_text = false;

    vt_buf_clear(&r->light);
    for (size_t i = 0; i < len; i++) {
        if (is_text && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            is_text = !is_text;
        if (is_text || text[i] != '[')
            continue;
        size_t end = i + 1;
        while (end < len && (strchr("+-.,eE", text[end]) || (text[end] >= '0' && text[end] <= '9')))
            end++;
        if (end == len || text[end] != ']')
            continue;
        vt_buf_add(&r->light, text + from, i + 1 - from);
        from = end;
        i = end;
    }
    vt_buf_add(&r->light, text + from, len - from);
    return vt_buf_check(&r->light, what, err);
}

vt_status vt_jsonl_next(struct vt_jsonl_reader *r, vt_json **out, vt_err *err)
{
    *out = NULL;
    if (r->at >= r->map.len)
        return VT_OK;
    const char *start = (const char *)r->map.p + r->at;
    size_t left = r->map.len - r->at;
    const char *newline = memchr(start, '\n', left);
    r->line++;
    if (!newline) {
        r->at = r->map.len;
        r->is_torn = true;
        return VT_OK;
    }
    size_t len = (size_t)(newline - start);
    r->at += len + 1;
    char what[512];
    snprintf(what, sizeof what, "line %llu of %s", (unsigned long long)r->line, r->path);
    if (len > VT_JSONL_LINE_MAX)
        return vt_fail(err, VT_EFORMAT, "%s is longer than %d bytes", what, (int)VT_JSONL_LINE_MAX);
    if (r->is_light) {
        VT_TRY(lighten(r, start, len, what, err));
        start = r->light.p;
        len = r->light.len;
    }
    vt_status status = vt_json_parse_line(start, len, what, out, err);
    if (status != VT_OK)
        return status == VT_ENOMEM ? status : VT_EFORMAT;
    if (!vt_json_is_object(*out)) {
        vt_json_free(*out);
        *out = NULL;
        return vt_fail(err, VT_EFORMAT, "%s is not a JSON object", what);
    }
    return VT_OK;
}
