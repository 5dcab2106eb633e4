/* SPDX-License-Identifier: Apache-2.0
 *
 * embedded.h: a text file compiled into the binary (made by engine/build/embed.py). A table ends with a zero row.
 */
#ifndef VT_BASE_EMBEDDED_H
#define VT_BASE_EMBEDDED_H

#include <stddef.h>

struct vt_embedded {
    const char *name; /* path relative to the embedded folder: "vegttt/init.lua" */
    const char *text;
    size_t len;
};

#endif
