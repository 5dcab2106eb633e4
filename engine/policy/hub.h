/* SPDX-License-Identifier: Apache-2.0
 *
 * hub.h: models of a hub that speaks the API of huggingface.co, under the names hf:ORGANISATION/NAME (a folder) and
 * hf:ORGANISATION/NAME/FILE.gguf.
 */
#ifndef VT_POLICY_HUB_H
#define VT_POLICY_HUB_H

#include "base/buf.h"
#include <stdbool.h>

bool vt_hub_is_name(const char *name);
/* The place in the cache of what was fetched last under the name, malloc'd; NULL when nothing was. */
vt_status vt_hub_find(const char *name, char **path, vt_err *err) VT_MUST_USE;
/* Fetches the newest revision, or what is missing of it. stop_fd: readable = stop; -1 = never. Blocks. */
vt_status vt_hub_fetch(const char *name, int stop_fd, void (*progress)(void *arg, const char *line), void *arg,
                       char **path, vt_err *err) VT_MUST_USE;

#endif
