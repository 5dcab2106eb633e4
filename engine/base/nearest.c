/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.c: edit distance with swaps of neighbours (optimal string alignment), and the sentence that suggests a name.
 * Words longer than any name people type get no suggestion, so that the table has a fixed size.
 */
#include "base/nearest.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 48, MAX_LISTED = 24 };

static int min(int a, int b)
{
    return a < b ? a : b;
}

/* Lower case without '-', '_' and spaces; false when it is longer than a word. */
static bool plain(const char *word, char *out, int *len)
{
    int n = 0;

    for (; *word; word++) {
        if (*word == '-' || *word == '_' || *word == ' ')
            continue;
        if (n == MAX_WORD)
            return false;
        out[n++] = (char)(*word >= 'A' && *word <= 'Z' ? *word - 'A' + 'a' : *word);
    }
    *len = n;
    return true;
}

static int distance(const char *a, int n_a, const char *b, int n_b)
{
    int d[MAX_WORD + 1][MAX_WORD + 1];

    for (int i = 0; i <= n_a; i++)
        d[i][0] = i;
    for (int j = 0; j <= n_b; j++)
        d[0][j] = j;
    for (int i = 1; i <= n_a; i++)
        for (int j = 1; j <= n_b; j++) {
            d[i][j] = min(min(d[i][j - 1], d[i - 1][j]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = min(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n_a][n_b];
}

const char *vt_nearest(const char *word, const char *const *names, size_t n)
{
    char a[MAX_WORD], b[MAX_WORD];
    const char *best = NULL;
    int n_a, n_b, best_distance = 0;

    if (!plain(word, a, &n_a) || n_a == 0)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (!plain(names[i], b, &n_b))
            continue;
        int limit = n_a >= 6 ? n_a / 3 : 1, d = distance(a, n_a, b, n_b);
        if (n_a >= 3 && n_b > n_a && memcmp(a, b, (size_t)n_a) == 0)
            d = min(d, 1);
        if (d <= limit && (!best || d < best_distance || (d == best_distance && strcmp(names[i], best) < 0))) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

/* Index of the first name after `last` by strcmp, or n. */
static size_t next_name(const char *const *names, size_t n, const char *last)
{
    size_t found = n;

    for (size_t i = 0; i < n; i++)
        if ((!last || strcmp(names[i], last) > 0) && (found == n || strcmp(names[i], names[found]) < 0))
            found = i;
    return found;
}

void vt_hint(const char *word, const char *const *names, size_t n, const char *prefix, char *out, size_t size)
{
    const char *near = vt_nearest(word, names, n), *last = NULL;
    size_t at = 0;

    out[0] = '\0';
    if (near) {
        snprintf(out, size, "; did you mean '%s%s'?", prefix, near);
        return;
    }
    if (n > MAX_LISTED)
        return;
    for (size_t i = next_name(names, n, NULL); i < n && at < size; i = next_name(names, n, last)) {
        int wrote = snprintf(out + at, size - at, "%s%s%s", last ? ", " : "; known: ", prefix, names[i]);
        at += wrote > 0 ? (size_t)wrote : 0;
        last = names[i];
    }
}
