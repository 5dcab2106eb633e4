/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.c: edit distance with swaps of neighbours, over words without case, '-', '_' and blanks. One mistake in three
 * letters is forgiven, one in a shorter word; three letters that begin a longer word count as one mistake. Long words
 * are compared by their beginnings.
 */
#include "base/nearest.h"
#include <ctype.h>
#include <stddef.h>
#include <string.h>

enum { MAX_WORD = 40 };

static size_t plain(const char *word, char out[MAX_WORD])
{
    size_t n = 0;
    for (; *word && n < MAX_WORD - 1; word++)
        if (!strchr("-_ ", *word))
            out[n++] = (char)tolower((unsigned char)*word);
    out[n] = 0;
    return n;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static int distance(const char *a, size_t n, const char *b, size_t m)
{
    int d[MAX_WORD][MAX_WORD];
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = min(min(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = min(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    return d[n][m];
}

const char *vt_nearest(const char *word, const char *const *list)
{
    char a[MAX_WORD], b[MAX_WORD];
    size_t n = plain(word, a);
    int best = n / 3 > 1 ? (int)(n / 3) : 1;
    const char *found = NULL;
    for (; *list; list++) {
        size_t m = plain(*list, b);
        int d = distance(a, n, b, m);
        if (n >= 3 && m > n && strncmp(a, b, n) == 0)
            d = min(d, 1);
        if (d < best || (d == best && (!found || strcmp(*list, found) < 0))) {
            best = d;
            found = *list;
        }
    }
    return found;
}
