/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.h: what a misspelt word was meant to be. Verbs, options, parameters and fields all suggest through it.
 */
#ifndef VT_BASE_NEAREST_H
#define VT_BASE_NEAREST_H

#include <stddef.h>

enum { VT_HINT_MAX = 1024 };

/* The name most like `word`, or NULL when none is near: insertions, deletions, substitutions and swaps of neighbours
 * count one each, at most a third of the word's length (and one for short words); case, '-', '_' and spaces do not
 * count; a word that begins a name is near it. Of equally near names the first by strcmp. */
const char *vt_nearest(const char *word, const char *const *names, size_t n);

/* "; did you mean 'x'?"; or "; known: a, b, c" where there are few and none is near; or "". Each name is shown after
 * `prefix` ("--" or ""). Cut at `size`. */
void vt_hint(const char *word, const char *const *names, size_t n, const char *prefix, char *out, size_t size);

#endif
