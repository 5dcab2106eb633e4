/* SPDX-License-Identifier: Apache-2.0
 *
 * slots.c: addresses of the functions of slots.h. They are named by their symbols, not by their C declarations, because
 * some have none (libgcc's) and a compiler may replace others by instructions of its own.
 */
#include "eval/c/worker/load.h"

#define DECLARE(name) extern const char slot_##name[] __asm__(#name);
VT_SLOTS(DECLARE)

const void *slot_address(unsigned slot)
{
#define ADDRESS(name) slot_##name,
    static const void *const address[VT_N_SLOTS] = {VT_SLOTS(ADDRESS)};
    return slot < VT_N_SLOTS ? address[slot] : NULL;
}
