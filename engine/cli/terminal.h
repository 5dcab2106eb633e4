/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.h: the terminal around the process: how wide it is, and what is typed there, a byte at a time.
 */
#ifndef VT_CLI_TERMINAL_H
#define VT_CLI_TERMINAL_H

#include <stdbool.h>

/* Of the terminal at a descriptor; `fallback` where there is none, or a very narrow one. */
int vt_terminal_columns(int fd, int fallback);

/* Whether what is typed comes at once and unseen, Ctrl-C too, instead of by lines. Nothing happens where standard input
 * is no terminal; what was set is undone when the process exits. */
void vt_terminal_raw(bool is_raw);

/* The next byte of standard input: 0 … 255, VT_KEY_NONE where there is none yet, VT_KEY_END at its end. */
enum { VT_KEY_NONE = -1, VT_KEY_END = -2 };
int vt_terminal_key(void);

#endif
