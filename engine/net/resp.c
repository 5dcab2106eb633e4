/* SPDX-License-Identifier: Apache-2.0
 *
 * resp.c: reading and writing RESP2.
 *
 * An item is a line: a letter that says its kind, then a text, a number or a length. A text of a given length follows
 * its line and ends with CR LF of its own; a list is followed by its items. The scan keeps for every list around it how
 * many items are still to come, so that a reply of many megabytes that arrives in pieces is looked at once, not from
 * its beginning for each piece.
 */
#include "net/resp.h"
#include <string.h>

enum { MAX_LINE = 64 << 10 };

void vt_resp_command(struct vt_buf *out, const struct vt_resp_word *word, size_t n)
{
    vt_buf_printf(out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        vt_buf_printf(out, "$%zu\r\n", word[i].len);
        vt_buf_add(out, word[i].p, word[i].len);
        vt_buf_add(out, "\r\n", 2);
    }
}

/* The CR LF that ends the line at p, or NULL. */
static const char *line_end(const char *p, const char *end)
{
    for (const char *at = p; (at = memchr(at, '\r', (size_t)(end - at))) && at + 1 < end; at++)
        if (at[1] == '\n')
            return at;
    return NULL;
}

static bool read_number(const char *p, const char *end, int64_t *out)
{
    bool is_negative = p < end && *p == '-';
    uint64_t v = 0;
    p += is_negative;
    if (p == end || end - p > 19)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        v = 10 * v + (uint64_t)(*p - '0');
    }
    if (v > INT64_MAX)
        return false;
    *out = is_negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static vt_status refuse(const char *p, const char *end, vt_err *err)
{
    char shown[41];
    size_t n = (size_t)(end - p) < sizeof shown - 1 ? (size_t)(end - p) : sizeof shown - 1;
    for (size_t i = 0; i < n; i++)
        shown[i] = p[i] >= ' ' && p[i] < 127 ? p[i] : '.';
    shown[n] = '\0';
    return vt_fail(err, VT_EFORMAT, "the answer is not Redis's protocol, it has '%s'; is it a Redis server?", shown);
}

/* What one item's line says. more: bytes behind the line that belong to the item. */
static vt_status read_line(const char *p, const char *eol, struct vt_resp_item *out, size_t *more, vt_err *err)
{
    static const char letters[] = "+-:$*";
    static const enum vt_resp_kind kinds[] = {VT_RESP_STATUS, VT_RESP_ERROR, VT_RESP_INT, VT_RESP_TEXT, VT_RESP_LIST};
    const char *letter = p < eol ? strchr(letters, *p) : NULL;
    *more = 0;
    if (!letter || !*letter)
        return refuse(p, eol, err);
    *out = (struct vt_resp_item){.kind = kinds[letter - letters], .text = p + 1, .len = (size_t)(eol - p - 1)};
    if (out->kind == VT_RESP_STATUS || out->kind == VT_RESP_ERROR)
        return VT_OK;
    if (!read_number(p + 1, eol, &out->number))
        return refuse(p, eol, err);
    if (out->kind == VT_RESP_INT)
        return VT_OK;
    const int64_t most = out->kind == VT_RESP_LIST ? VT_RESP_MAX_LIST : VT_RESP_MAX_TEXT;
    if (out->number < -1 || out->number > most)
        return vt_fail(err, VT_EFORMAT, "the server announces a %s of %lld, more than the %lld that are read",
                       out->kind == VT_RESP_LIST ? "list" : "text", (long long)out->number, (long long)most);
    if (out->number == -1)
        *out = (struct vt_resp_item){.kind = VT_RESP_NONE};
    else if (out->kind == VT_RESP_TEXT)
        *more = (size_t)out->number + 2;
    return VT_OK;
}

/* An item was read: lists that have all of theirs are closed. True when the reply is whole. */
static bool count_item(struct vt_resp_scan *s)
{
    while (s->depth && --s->open[s->depth - 1] == 0)
        s->depth--;
    return s->depth == 0;
}

vt_status vt_resp_scan(struct vt_resp_scan *s, const char *p, size_t len, bool *is_whole, vt_err *err)
{
    const char *end = p + len;
    *is_whole = false;
    while (s->at < len) {
        const char *from = p + s->at, *eol = line_end(from, end);
        struct vt_resp_item item;
        size_t more;
        if (!eol)
            return end - from > MAX_LINE ? refuse(from, end, err) : VT_OK;
        VT_TRY(read_line(from, eol, &item, &more, err));
        if ((size_t)(end - eol) - 2 < more)
            return VT_OK;
        if (more && memcmp(eol + more, "\r\n", 2) != 0)
            return refuse(from, eol, err);
        s->at = (size_t)(eol - p) + 2 + more;
        if (item.kind == VT_RESP_LIST && item.number > 0) {
            if (s->depth == VT_RESP_MAX_DEPTH)
                return vt_fail(err, VT_EFORMAT, "the server answers with lists in lists, more than %d deep",
                               VT_RESP_MAX_DEPTH);
            s->open[s->depth++] = (uint32_t)item.number;
        } else if (count_item(s)) {
            *is_whole = true;
            return VT_OK;
        }
    }
    return VT_OK;
}

bool vt_resp_next(struct vt_resp_reader *r, struct vt_resp_item *out)
{
    vt_err err;
    size_t more = 0;
    const char *eol = r->p < r->end ? line_end(r->p, r->end) : NULL;
    if (!eol || read_line(r->p, eol, out, &more, &err) != VT_OK || (size_t)(r->end - eol) - 2 < more)
        return false;
    if (out->kind == VT_RESP_TEXT) {
        out->text = eol + 2;
        out->len = more - 2;
    }
    r->p = eol + 2 + more;
    return true;
}

void vt_resp_skip(struct vt_resp_reader *r)
{
    struct vt_resp_item item;
    for (int64_t left = 1; left > 0 && vt_resp_next(r, &item); left--)
        left += item.kind == VT_RESP_LIST ? item.number : 0;
}

bool vt_resp_expect(struct vt_resp_reader *r, enum vt_resp_kind kind, struct vt_resp_item *out)
{
    struct vt_resp_reader ahead = *r;
    if (!vt_resp_next(&ahead, out))
        return false;
    if (out->kind == kind) {
        *r = ahead;
        return true;
    }
    vt_resp_skip(r);
    return false;
}
