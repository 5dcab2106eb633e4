/* SPDX-License-Identifier: Apache-2.0
 *
 * clash.c: a helper named like a function of the C library.
 *
 * The headers in front of a candidate are ours. Someone who writes `div`, `y1`, `index` or `round` for a helper of his
 * own, with another type, has made no mistake that his compiler would tell him of; ours does. Which names these are
 * the compiler says: then the unit is compiled once more, with a macro for each of them between headers and text, so
 * that the name is the candidate's wherever the candidate uses it.
 */
#include "eval/c/clash.h"
#include "eval/c/assemble.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* gcc's and clang's words. */
static const char *const says[] = {"conflicting types for ", "follows non-static declaration", "redefinition of ",
                                   "as different kind of symbol"};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The first name between quotes; "" when there is none. */
static void quoted(const char *text, char out[VT_CLASH_NAME])
{
    const char *from = strchr(text, '\'');
    size_t n = 0;
    while (from && is_word(from[1 + n]))
        n++;
    bool is_name = n > 0 && n < VT_CLASH_NAME && from[1 + n] == '\'' && !isdigit((unsigned char)from[1]);
    snprintf(out, VT_CLASH_NAME, "%.*s", is_name ? (int)n : 0, is_name ? from + 1 : "");
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; (p = strstr(p, word)); p += n)
        if ((p == text || !is_word(p[-1])) && !is_word(p[n]))
            return true;
    return false;
}

static bool is_known(const struct vt_clashes *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->name[i], name) == 0)
            return true;
    return false;
}

void vt_clash_find(const struct vt_diagnostics *d, const char *headers, struct vt_clashes *out)
{
    out->n = 0;
    for (int i = 0; i < d->n; i++) {
        char name[VT_CLASH_NAME];
        bool is_said = false;
        for (size_t k = 0; k < sizeof says / sizeof says[0]; k++)
            is_said |= strstr(d->item[i].text, says[k]) != NULL;
        quoted(d->item[i].text, name);
        if (is_said && name[0] && !is_known(out, name) && has_word(headers, name))
            memcpy(out->name[out->n++], name, sizeof name);
    }
}

bool vt_clash_rename(const struct vt_clashes *c, const struct vt_buf *unit, struct vt_buf *out)
{
    const size_t head = strlen(vt_unit_prelude);
    if (unit->len < head || memcmp(unit->p, vt_unit_prelude, head) != 0)
        return false;
    vt_buf_init(out, unit->len + (64 + 2 * VT_CLASH_NAME) * VT_MAX_CLASHES);
    vt_buf_add(out, unit->p, head);
    for (size_t i = 0; i < c->n; i++)
        vt_buf_printf(out, "#undef %s\n#define %s vt_own_%s\n", c->name[i], c->name[i], c->name[i]);
    vt_buf_add(out, unit->p + head, unit->len - head);
    return true;
}
