/* SPDX-License-Identifier: Apache-2.0
 *
 * link.h: the linker, bytes in and bytes out: an object that the compiler wrote becomes an image (image.h). It opens,
 * maps and runs nothing.
 */
#ifndef VT_EVAL_C_WORKER_LINK_H
#define VT_EVAL_C_WORKER_LINK_H

#include <stddef.h>
#include <stdint.h>

enum link_end { LINK_OK, LINK_UNDEFINED, LINK_REFUSED, LINK_NO_MEMORY };
struct link_result {
    enum link_end end;
    unsigned char *image; /* malloc'd; NULL unless LINK_OK */
    size_t image_len;
    /* UNDEFINED: one line "undefined reference to `NAME'…" for each of the first names. REFUSED: what the object has
     * that a kernel may not have, as a clause ("it has a constructor"). Names of the object's own are cut and cleaned.
     */
    char why[640];
};
/* machine: EM_X86_64 or EM_AARCH64. symbol: the function that calls enter. Never reads outside object[0..n). */
void link_object(const unsigned char *object, size_t n, uint16_t machine, const char *symbol, struct link_result *out);

/* relocate.c: what the relocation types of the two machines ask for. */
enum reloc_form {
    RELOC_NOTHING,
    RELOC_ADDRESS, /* 8 bytes: the target's address */
    RELOC_NEAR,    /* the target's distance from here, or its place in a page: of the target itself */
    RELOC_TABLE,   /* the same of the table entry that holds the target's address */
    RELOC_UNKNOWN
};
enum reloc_form reloc_form(uint16_t machine, uint32_t type);
/* Bytes that a type changes. */
size_t reloc_size(uint16_t machine, uint32_t type);
/* Writes what a NEAR or TABLE type asks for at `at`, which lies at address `from`, for a target at `to` (addend
 * included). False when it does not fit. */
int reloc_write(uint16_t machine, uint32_t type, unsigned char *at, uint64_t from, uint64_t to);
/* A piece of code at `from` that jumps to the address in the table entry at `entry`. */
enum { RELOC_STUB = 16 };
int reloc_stub(uint16_t machine, unsigned char out[RELOC_STUB], uint64_t from, uint64_t entry);

#endif
