/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz.h: hands a fuzzer's bytes to a function that takes a path, through a file in memory. A failing call must
 * explain itself: an empty message is a finding.
 */
#ifndef VT_FUZZ_H
#define VT_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vegttt/err.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* A path that reads back the bytes; *fd must be closed. Aborts when the machine refuses, which is no finding. */
static inline void memory_file(const unsigned char *data, size_t size, char path[64], int *fd)
{
    *fd = memfd_create("fuzz", 0);
    if (*fd < 0 || write(*fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

static inline void must_explain(vt_status status, const vt_err *err)
{
    if (status != VT_OK && err->msg[0] == '\0')
        abort();
}

#endif
