/* SPDX-License-Identifier: Apache-2.0
 *
 * compiler.c: runs the C compiler on text it reads from standard input, in the slot's work folder, seeing nothing of
 * the machine but the toolchain. Includes of other files, .incbin and the like fail because the files are not there
 * or may not be opened; nobody parses the text for them.
 */
#include "eval/c/worker/compiler.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 96 };

_Noreturn void compiler_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_COMPILE_FDS])
{
    static char *argv[MAX_ARGS + 1];
    static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C", tmp[] = "TMPDIR=.";
    char *const envp[] = {path, locale, tmp, NULL};
    uint32_t n = 0;
    const char *end = r->args + r->args_len;
    for (const char *p = r->args; p < end && n < MAX_ARGS && n < r->n_args; p += strlen(p) + 1)
        argv[n++] = (char *)(uintptr_t)p;
    int keep[3] = {fds[0], fds[1], fds[1]};
    if (n == 0 || r->args_len > VT_WIRE_ARGS || r->args[r->args_len - 1] != 0 || !cage_keep_fds(keep, 3, 0))
        _exit(VT_EXIT_NO_COMPILER);
    if (!cage_enter_compiler(c, r))
        _exit(VT_EXIT_NO_COMPILER);
    execve(argv[0], argv, envp);
    _exit(VT_EXIT_NO_COMPILER);
}
