/* SPDX-License-Identifier: Apache-2.0
 *
 * object.c: judges an ELF shared object before the loader sees it.
 *
 * Templates load objects outside the innermost filter, so nothing of the candidate may run at load: no initialisers
 * or finalisers (DT_INIT, DT_INIT_ARRAY, …), no indirect functions (STT_GNU_IFUNC symbols, IRELATIVE relocations), no
 * further libraries, search paths or auditors, no writable code, no executable stack. The dynamic section is read the
 * way the loader reads it, by PT_DYNAMIC and addresses; section headers are used only for the digest of .text. An
 * honest kernel has none of these (it is linked without start files), so a refusal needs no nuance.
 */
#include "eval/c/object.h"
#include <elf.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define RELOC_IRELATIVE R_X86_64_IRELATIVE
#else
#define MACHINE EM_AARCH64
#define RELOC_IRELATIVE 1032
#endif

struct image {
    const unsigned char *p;
    size_t n;
    Elf64_Ehdr head;
};

static bool fits(const struct image *im, uint64_t at, uint64_t len)
{
    return at <= im->n && len <= im->n - at;
}

static bool read_at(const struct image *im, uint64_t at, void *out, size_t len)
{
    if (!fits(im, at, len))
        return false;
    memcpy(out, im->p + at, len);
    return true;
}

static bool program_header(const struct image *im, unsigned i, Elf64_Phdr *out)
{
    return read_at(im, im->head.e_phoff + (uint64_t)i * sizeof *out, out, sizeof *out);
}

/* File offset of a virtual address, by the loadable segments. */
static bool file_offset(const struct image *im, uint64_t va, uint64_t len, uint64_t *at)
{
    for (unsigned i = 0; i < im->head.e_phnum; i++) {
        Elf64_Phdr ph;
        if (!program_header(im, i, &ph) || ph.p_type != PT_LOAD)
            continue;
        if (va >= ph.p_vaddr && va - ph.p_vaddr <= ph.p_filesz && len <= ph.p_filesz - (va - ph.p_vaddr)) {
            *at = ph.p_offset + (va - ph.p_vaddr);
            return fits(im, *at, len);
        }
    }
    return false;
}

struct dynamic {
    uint64_t symtab, strtab, strsz, rela, relasz, jmprel, pltrelsz;
};

static const char *forbidden_tag(int64_t tag)
{
    switch (tag) {
    case DT_INIT:
    case DT_INIT_ARRAY:
    case DT_PREINIT_ARRAY:
        return "it has code that runs when it is loaded (a constructor)";
    case DT_FINI:
    case DT_FINI_ARRAY:
        return "it has code that runs at exit (a destructor)";
    case DT_RPATH:
    case DT_RUNPATH:
    case DT_AUXILIARY:
    case DT_FILTER:
    case DT_AUDIT:
    case DT_DEPAUDIT:
        return "it asks for other libraries";
    case DT_TEXTREL:
    case DT_REL:
    case DT_RELR:
        return "it has relocations of an unusual kind";
    default:
        return NULL;
    }
}

static bool is_plain_library(const struct image *im, const struct dynamic *d, uint64_t name)
{
    static const char *const plain[] = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"};
    uint64_t at;
    if (name >= d->strsz || !file_offset(im, d->strtab + name, 1, &at))
        return false;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (fits(im, at, strlen(plain[i]) + 1) && memcmp(im->p + at, plain[i], strlen(plain[i]) + 1) == 0)
            return true;
    return false;
}

static const char *read_dynamic(const struct image *im, uint64_t at, uint64_t len, struct dynamic *d)
{
    Elf64_Dyn e;
    const uint64_t n = len / sizeof e;
    for (uint64_t i = 0; i < n; i++) {
        if (!read_at(im, at + i * sizeof e, &e, sizeof e) || e.d_tag == DT_NULL)
            break;
        const char *why = forbidden_tag(e.d_tag);
        if (why)
            return why;
        switch (e.d_tag) {
        case DT_SYMTAB:
            d->symtab = e.d_un.d_ptr;
            break;
        case DT_STRTAB:
            d->strtab = e.d_un.d_ptr;
            break;
        case DT_STRSZ:
            d->strsz = e.d_un.d_val;
            break;
        case DT_RELA:
            d->rela = e.d_un.d_ptr;
            break;
        case DT_RELASZ:
            d->relasz = e.d_un.d_val;
            break;
        case DT_JMPREL:
            d->jmprel = e.d_un.d_ptr;
            break;
        case DT_PLTRELSZ:
            d->pltrelsz = e.d_un.d_val;
            break;
        default:
            break;
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!read_at(im, at + i * sizeof e, &e, sizeof e) || e.d_tag == DT_NULL)
            break;
        if (e.d_tag == DT_NEEDED && !is_plain_library(im, d, e.d_un.d_val))
            return "it needs another library";
    }
    return NULL;
}

static bool is_plain_symbol(const struct image *im, const struct dynamic *d, uint64_t index)
{
    uint64_t at;
    Elf64_Sym s;
    return index < 1u << 24 && file_offset(im, d->symtab + index * sizeof s, sizeof s, &at) &&
           read_at(im, at, &s, sizeof s) && ELF64_ST_TYPE(s.st_info) != STT_GNU_IFUNC;
}

static const char *read_relocations(const struct image *im, const struct dynamic *d, uint64_t va, uint64_t len)
{
    for (uint64_t i = 0; i < len / sizeof(Elf64_Rela); i++) {
        uint64_t at;
        Elf64_Rela r;
        if (!file_offset(im, va + i * sizeof r, sizeof r, &at) || !read_at(im, at, &r, sizeof r))
            return "its relocations are damaged";
        if (ELF64_R_TYPE(r.r_info) == RELOC_IRELATIVE)
            return "it has an indirect function";
        if (!is_plain_symbol(im, d, ELF64_R_SYM(r.r_info)))
            return "it has an indirect function";
    }
    return NULL;
}

static const char *judge(const struct image *im)
{
    struct dynamic d = {0};
    Elf64_Phdr ph, dyn = {0};
    int n_dynamic = 0;
    for (unsigned i = 0; i < im->head.e_phnum; i++) {
        if (!program_header(im, i, &ph))
            return "its headers are damaged";
        if (ph.p_type == PT_INTERP)
            return "it is a program";
        if (ph.p_type == PT_GNU_STACK && (ph.p_flags & PF_X))
            return "it asks for an executable stack";
        if (ph.p_type == PT_LOAD && (ph.p_flags & PF_W) && (ph.p_flags & PF_X))
            return "it has writable code";
        if (ph.p_type == PT_LOAD && (ph.p_memsz > 1ull << 30 || ph.p_vaddr > 1ull << 32))
            return "it has more than 1 GiB of data";
        if (ph.p_type == PT_DYNAMIC) {
            dyn = ph;
            n_dynamic++;
        }
    }
    uint64_t at;
    if (n_dynamic != 1 || !file_offset(im, dyn.p_vaddr, dyn.p_memsz, &at) || at != dyn.p_offset)
        return "its dynamic section is damaged";
    const char *why = read_dynamic(im, at, dyn.p_memsz, &d);
    if (!why && d.strtab < d.symtab)
        why = "its symbol table is of an unusual layout";
    /* Linkers put the string table right behind the symbols, so this visits every exported symbol. */
    for (uint64_t i = 0; !why && i < (d.strtab - d.symtab) / sizeof(Elf64_Sym); i++)
        if (!is_plain_symbol(im, &d, i))
            why = "it has an indirect function";
    if (!why)
        why = read_relocations(im, &d, d.rela, d.relasz);
    return why ? why : read_relocations(im, &d, d.jmprel, d.pltrelsz);
}

static void digest_text(const struct image *im, struct vt_object_info *out)
{
    Elf64_Shdr names, s;
    if (im->head.e_shentsize != sizeof s || im->head.e_shstrndx >= im->head.e_shnum ||
        !read_at(im, im->head.e_shoff + (uint64_t)im->head.e_shstrndx * sizeof s, &names, sizeof names))
        return;
    for (unsigned i = 0; i < im->head.e_shnum; i++) {
        char name[6];
        if (!read_at(im, im->head.e_shoff + (uint64_t)i * sizeof s, &s, sizeof s) || s.sh_type != SHT_PROGBITS ||
            s.sh_name > names.sh_size || !read_at(im, names.sh_offset + s.sh_name, name, sizeof name))
            continue;
        if (memcmp(name, ".text", sizeof name) == 0 && fits(im, s.sh_offset, s.sh_size)) {
            vt_sha256_of(im->p + s.sh_offset, s.sh_size, out->text_sha);
            out->text_len = s.sh_size;
            return;
        }
    }
}

void vt_object_inspect(const unsigned char *bytes, size_t n, struct vt_object_info *out)
{
    struct image im = {bytes, n, {{0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
    const char *why = NULL;
    memset(out, 0, sizeof *out);
    if (!read_at(&im, 0, &im.head, sizeof im.head) || memcmp(im.head.e_ident, ELFMAG, SELFMAG) != 0 ||
        im.head.e_ident[EI_CLASS] != ELFCLASS64 || im.head.e_type != ET_DYN || im.head.e_machine != MACHINE ||
        im.head.e_phentsize != sizeof(Elf64_Phdr) || im.head.e_phnum > 64)
        why = "it is not a shared object of this machine";
    else
        why = judge(&im);
    if (why)
        snprintf(out->refused, sizeof out->refused, "the compiled object is refused: %s", why);
    else
        digest_text(&im, out);
}
