/* SPDX-License-Identifier: Apache-2.0
 *
 * panel.h: progress on standard error: a redrawn panel on a terminal, one line now and then in a pipe.
 */
#ifndef VT_CLI_PANEL_H
#define VT_CLI_PANEL_H

#include "bind/bind.h"

struct vt_panel {
    bool is_tty;
    int n_lines; /* drawn and standing on the terminal */
};

void vt_panel_show(struct vt_panel *p, const struct vt_progress *progress);
/* The same place for any lines, on a terminal. */
void vt_panel_text(struct vt_panel *p, const char *text);
/* Wipes the panel so that other text can be printed where it stood; the next show draws it again. */
void vt_panel_clear(struct vt_panel *p);

#endif
