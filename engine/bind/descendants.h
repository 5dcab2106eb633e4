/* SPDX-License-Identifier: Apache-2.0
 *
 * descendants.h: what the commands of scripts leave behind.
 *
 * A command may leave processes in the background, in a session of their own, that hold on to files, ports and our
 * standard output long after the script: `vegttt x.lua | tee log` would not end. Process groups do not find them. So
 * from the first command on this process adopts whatever its descendants leave without a parent, and where it ends it
 * ends them: they are its children then, one generation after another.
 */
#ifndef VT_BIND_DESCENDANTS_H
#define VT_BIND_DESCENDANTS_H

void vt_descendants_adopt(void); /* before the first command is started */
/* Ends and reaps every child of this process, those too that it had itself, and theirs; does nothing when nothing was
 * adopted. Takes 2 s at most: one that the kernel holds cannot be waited for. */
void vt_descendants_end(void);

#endif
