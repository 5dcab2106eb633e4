/* SPDX-License-Identifier: Apache-2.0
 *
 * nearest.h: which of the known words somebody may have meant.
 */
#ifndef VT_BASE_NEAREST_H
#define VT_BASE_NEAREST_H

/* The word of the NULL-terminated list most like `word`, or NULL when none is near. */
const char *vt_nearest(const char *word, const char *const *list);

#endif
