/* SPDX-License-Identifier: Apache-2.0
 *
 * relocate.c: the relocation types that position-independent code of C compilers has on x86-64 and aarch64. Whatever is
 * not listed (absolute 32-bit addresses, thread-local storage, indirect functions, dynamic types) does not exist here.
 * Both machines are always compiled in, so that each can be tested on the other.
 */
#include "eval/c/worker/link.h"
#include <elf.h>
#include <stdbool.h>
#include <string.h>

static enum reloc_form x86_form(uint32_t type)
{
    switch (type) {
    case R_X86_64_NONE:
        return RELOC_NOTHING;
    case R_X86_64_64:
        return RELOC_ADDRESS;
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return RELOC_NEAR;
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
        return RELOC_TABLE;
    default:
        return RELOC_UNKNOWN;
    }
}

/* By how many bits the low twelve of an address are shifted in a load or store of 1 << n bytes; -1: no such type. */
static int arm_scale(uint32_t type)
{
    switch (type) {
    case R_AARCH64_LDST8_ABS_LO12_NC:
        return 0;
    case R_AARCH64_LDST16_ABS_LO12_NC:
        return 1;
    case R_AARCH64_LDST32_ABS_LO12_NC:
        return 2;
    case R_AARCH64_LDST64_ABS_LO12_NC:
    case R_AARCH64_LD64_GOT_LO12_NC:
        return 3;
    case R_AARCH64_LDST128_ABS_LO12_NC:
        return 4;
    default:
        return -1;
    }
}

static enum reloc_form arm_form(uint32_t type)
{
    switch (type) {
    case R_AARCH64_NONE:
        return RELOC_NOTHING;
    case R_AARCH64_ABS64:
        return RELOC_ADDRESS;
    case R_AARCH64_ADR_GOT_PAGE:
    case R_AARCH64_LD64_GOT_LO12_NC:
        return RELOC_TABLE;
    case R_AARCH64_PREL32:
    case R_AARCH64_LD_PREL_LO19:
    case R_AARCH64_ADR_PREL_LO21:
    case R_AARCH64_ADR_PREL_PG_HI21:
    case R_AARCH64_ADR_PREL_PG_HI21_NC:
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_TSTBR14:
    case R_AARCH64_CONDBR19:
    case R_AARCH64_JUMP26:
    case R_AARCH64_CALL26:
        return RELOC_NEAR;
    default:
        return arm_scale(type) >= 0 ? RELOC_NEAR : RELOC_UNKNOWN;
    }
}

enum reloc_form reloc_form(uint16_t machine, uint32_t type)
{
    return machine == EM_X86_64 ? x86_form(type) : arm_form(type);
}

size_t reloc_size(uint16_t machine, uint32_t type)
{
    return reloc_form(machine, type) == RELOC_NOTHING ? 0 : reloc_form(machine, type) == RELOC_ADDRESS ? 8 : 4;
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static void put32(unsigned char *at, uint32_t v)
{
    memcpy(at, &v, sizeof v);
}

static bool is_signed(int64_t v, int bits)
{
    return v >= -(1ll << (bits - 1)) && v < 1ll << (bits - 1);
}

/* A field of `bits` bits from bit `low` of an instruction. */
static void set_field(unsigned char *at, int low, int bits, uint64_t v)
{
    uint32_t mask = (uint32_t)((1ull << bits) - 1) << low;
    put32(at, (get32(at) & ~mask) | ((uint32_t)v << low & mask));
}

static void set_adr(unsigned char *at, int64_t v)
{
    set_field(at, 29, 2, (uint64_t)v & 3);
    set_field(at, 5, 19, (uint64_t)v >> 2);
}

static bool arm_branch(unsigned char *at, int low, int bits, int64_t distance)
{
    if (distance % 4 != 0 || !is_signed(distance, bits + 2))
        return false;
    set_field(at, low, bits, (uint64_t)distance >> 2);
    return true;
}

static bool arm_write(uint32_t type, unsigned char *at, uint64_t from, uint64_t to)
{
    const int64_t distance = (int64_t)(to - from), pages = (int64_t)((to >> 12) - (from >> 12));
    int scale = arm_scale(type);
    if (scale >= 0) {
        if (to % (1u << scale) != 0)
            return false;
        set_field(at, 10, 12, (to & 0xfff) >> scale);
        return true;
    }
    switch (type) {
    case R_AARCH64_PREL32:
        put32(at, (uint32_t)distance);
        return is_signed(distance, 32);
    case R_AARCH64_ADR_PREL_LO21:
        set_adr(at, distance);
        return is_signed(distance, 21);
    case R_AARCH64_ADR_PREL_PG_HI21:
    case R_AARCH64_ADR_PREL_PG_HI21_NC:
    case R_AARCH64_ADR_GOT_PAGE:
        set_adr(at, pages);
        return is_signed(pages, 21);
    case R_AARCH64_ADD_ABS_LO12_NC:
        set_field(at, 10, 12, to & 0xfff);
        return true;
    case R_AARCH64_LD_PREL_LO19:
    case R_AARCH64_CONDBR19:
        return arm_branch(at, 5, 19, distance);
    case R_AARCH64_TSTBR14:
        return arm_branch(at, 5, 14, distance);
    case R_AARCH64_JUMP26:
    case R_AARCH64_CALL26:
        return arm_branch(at, 0, 26, distance);
    default:
        return false;
    }
}

int reloc_write(uint16_t machine, uint32_t type, unsigned char *at, uint64_t from, uint64_t to)
{
    if (machine != EM_X86_64)
        return arm_write(type, at, from, to);
    const int64_t distance = (int64_t)(to - from);
    put32(at, (uint32_t)distance);
    return is_signed(distance, 32);
}

int reloc_stub(uint16_t machine, unsigned char out[RELOC_STUB], uint64_t from, uint64_t entry)
{
    static const unsigned char x86[RELOC_STUB] = {0xff, 0x25, 0,    0,    0,    0,    0xcc, 0xcc,
                                                  0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc};
    /* adrp x16, entry; ldr x17, [x16, entry]; br x17; nop */
    static const uint32_t arm[RELOC_STUB / 4] = {0x90000010, 0xf9400211, 0xd61f0220, 0xd503201f};
    if (machine == EM_X86_64) {
        memcpy(out, x86, sizeof x86);
        return reloc_write(machine, R_X86_64_PC32, out + 2, from + 6, entry);
    }
    memcpy(out, arm, sizeof arm);
    return arm_write(R_AARCH64_ADR_GOT_PAGE, out, from, entry) &&
           arm_write(R_AARCH64_LD64_GOT_LO12_NC, out + 4, from + 4, entry);
}
