/* SPDX-License-Identifier: Apache-2.0
 *
 * library.h: finding one of NVIDIA's shared libraries at run time. A stem such as "libcublasLt.so" is tried with the
 * major versions the engine knows (13, then 12), each in the linker's own places, then below CUDA_HOME, CUDA_PATH and
 * /usr/local/cuda, then in the wheels of pip (site-packages/nvidia) of the Python on PATH, of VIRTUAL_ENV and of the
 * system.
 */
#ifndef VT_GPU_LIBRARY_H
#define VT_GPU_LIBRARY_H

#include <stddef.h>
#include <vegttt/err.h>

/* *path: where it was found (malloc'd; the file's name alone when the linker found it). */
vt_status vt_gpu_library_open(const char *stem, void **handle, char **path, vt_err *err) VT_MUST_USE;
/* A function of the library; ENOENT names both. */
vt_status vt_gpu_library_symbol(void *handle, const char *library, const char *symbol, void *out,
                                vt_err *err) VT_MUST_USE;

/* The candidates in order, calling each until it returns true; for the search and its test. */
typedef int vt_gpu_candidate(void *arg, const char *path);
void vt_gpu_library_candidates(const char *stem, vt_gpu_candidate *each, void *arg);

#endif
