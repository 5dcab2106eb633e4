/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: UTF-8 as RFC 3629 defines it. The second byte of a sequence carries all the restrictions (overlong forms
 * after E0 and F0, surrogates after ED, values past U+10FFFF after F4), so one table-free check per lead byte does it.
 */
#include "model/text.h"

#include <string.h>

bool vt_text_is(struct vt_text s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

static bool is_continuation(unsigned char b)
{
    return (b & 0xc0) == 0x80;
}

static bool is_second(unsigned char lead, unsigned char b)
{
    switch (lead) {
    case 0xe0:
        return b >= 0xa0 && b <= 0xbf;
    case 0xed:
        return b >= 0x80 && b <= 0x9f;
    case 0xf0:
        return b >= 0x90 && b <= 0xbf;
    case 0xf4:
        return b >= 0x80 && b <= 0x8f;
    default:
        return is_continuation(b);
    }
}

size_t vt_utf8_next(const char *text, size_t n, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char lead = p[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    size_t len = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (len == 0 || len > n || !is_second(lead, p[1]))
        return 0;
    uint32_t value = lead & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (!is_continuation(p[i]))
            return 0;
        value = value << 6 | (p[i] & 0x3fu);
    }
    *cp = value;
    return len;
}

size_t vt_utf8_put(uint32_t cp, char out[4])
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)(leads[len] | cp);
    return len;
}

size_t vt_utf8_valid(const char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint32_t cp;
        size_t len = vt_utf8_next(p + at, n - at, &cp);
        if (len == 0)
            break;
        at += len;
    }
    return at;
}
