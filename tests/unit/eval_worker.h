/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_worker.h: the worker program for tests that become another user, who may not be able to reach the build folder
 * (/root of most machines is closed to others).
 */
#ifndef VT_TEST_EVAL_WORKER_H
#define VT_TEST_EVAL_WORKER_H

#include "base/fs.h"
#include "harness.h"

/* Copies the worker into dir, which everybody can enter, and names it in VEGTTT_WORKER. */
static inline bool worker_for_others(const char *dir)
{
    static char path[128];
    char command[512], *exe = NULL;
    vt_err err;
    if (vt_exe_dir(&exe, &err) != VT_OK)
        return false;
    snprintf(path, sizeof path, "%s/vegttt-worker", dir);
    snprintf(command, sizeof command, "install -m 755 '%s/../vegttt-worker' '%s'", exe, path);
    free(exe);
    return system(command) == 0 && setenv("VEGTTT_WORKER", path, 1) == 0;
}

#endif
