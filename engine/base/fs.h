/* SPDX-License-Identifier: Apache-2.0
 *
 * fs.h: files, folders and the places where vegttt keeps things. Every failure names the path and the reason.
 */
#ifndef VT_BASE_FS_H
#define VT_BASE_FS_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

vt_status vt_fs_read(const char *path, size_t max, struct vt_buf *out,
                     vt_err *err) VT_MUST_USE; /* out is initialised here */
/* The same of what must be a regular file: anything else (a pipe, a device, a folder) is EINVAL at once instead of a
 * wait or an endless text, and so is one of more than `max` bytes. */
vt_status vt_fs_read_regular(const char *path, size_t max, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* Writes PATH.tmp-PID, fsyncs, renames: the file is either the old or the new one. */
vt_status vt_fs_write_atomic(const char *path, const void *bytes, size_t n, vt_err *err) VT_MUST_USE;
/* The same by a hard link, which never replaces a file: *is_new is false when one is there already. */
vt_status vt_fs_write_new(const char *path, const void *bytes, size_t n, bool *is_new, vt_err *err) VT_MUST_USE;
vt_status vt_fs_mkdir_p(const char *path, vt_err *err) VT_MUST_USE;
vt_status vt_fs_remove_tree(const char *path, vt_err *err) VT_MUST_USE; /* absent is fine */
bool vt_fs_exists(const char *path);
bool vt_fs_is_dir(const char *path);
int64_t vt_fs_size(const char *path); /* -1 when absent */
/* Names in a folder, sorted, without "." and ".."; free with vt_fs_list_free. */
vt_status vt_fs_list(const char *path, char ***names, size_t *n, vt_err *err) VT_MUST_USE;
void vt_fs_list_free(char **names, size_t n);
char *vt_path_join(const char *a, const char *b); /* malloc'd; b absolute returns b */
/* $XDG_CACHE_HOME/vegttt or ~/.cache/vegttt (VEGTTT_CACHE overrides); malloc'd, created. */
vt_status vt_cache_dir(char **out, vt_err *err) VT_MUST_USE;
/* Folder that holds this executable (malloc'd). */
vt_status vt_exe_dir(char **out, vt_err *err) VT_MUST_USE;

struct vt_map {
    const unsigned char *p;
    size_t len;
};
vt_status vt_map_open(const char *path, struct vt_map *out,
                      vt_err *err) VT_MUST_USE; /* read-only mmap; empty file is EFORMAT */
void vt_map_close(struct vt_map *m);

#endif
