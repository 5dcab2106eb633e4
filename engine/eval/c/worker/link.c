/* SPDX-License-Identifier: Apache-2.0
 *
 * link.c: from a relocatable object to an image.
 *
 * What ld and the loader do for a shared object is decided by tables that whoever writes assembly can shape: sections
 * of any name that end up as dynamic tags, symbol and hash tables, relocations of any place, functions that run at
 * load. A kernel needs none of that. It has code, constants, data and zeros, refers to itself and to functions of
 * slots.h; so this linker knows just those: sections by a list of names, relocations by the list in relocate.c, each
 * place inside the section it belongs to, each target inside a section that was placed or a function of the list. Only
 * what the function reaches is placed, so that the rest of a unit (a main, a printing helper) is of no concern. It runs
 * in the compiler's jail, and the evaluator and the loader check the image again without trusting it.
 *
 * All numbers of the object are a stranger's: they are compared before they are added, and work and memory are linear
 * in the object's size.
 */
#include "eval/c/worker/link.h"
#include "eval/c/worker/image.h"
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

enum block { TEXT, RO, RW, ZEROS, N_BLOCKS, NOWHERE };
enum { MAX_UNDEFINED = 4, NAME_SHOWN = 60, MAX_GLOBALS = 4096 };

struct piece {
    enum block block;
    uint32_t at; /* in its block */
    bool is_reached;
    uint32_t relocs, next; /* 1 + number of the first section of its relocations; of the next for the same section */
};
struct symbol {
    uint32_t entry, stub, copy; /* 1 + number of its entry in the table, of its stub, of its copy; 0 = none */
};

struct linker {
    const unsigned char *p;
    size_t n;
    uint16_t machine;
    const char *name;
    Elf64_Ehdr head;
    Elf64_Shdr names, symtab, strtab;
    uint32_t n_symbols;
    struct piece *piece;
    struct symbol *symbol;
    uint64_t size[N_BLOCKS];
    uint32_t align[N_BLOCKS];
    uint32_t entry_section, entry_value, n_entries, n_stubs, n_copies, stubs_at, entries_at, copies_at;
    struct vt_image_head image;
    struct vt_image_span span;
    unsigned char *bytes[3];
    struct vt_image_fix *fix;
    size_t n_fixes, room_fixes;
    uint32_t n_undefined;
    uint32_t *todo, n_todo; /* sections that were reached, and not looked at yet */
    uint64_t n_reloc_bytes;
    struct link_result *out;
};

static bool refuse(struct linker *l, const char *what)
{
    if (l->out->end == LINK_OK) {
        l->out->end = LINK_REFUSED;
        snprintf(l->out->why, sizeof l->out->why, "%s", what);
    }
    return false;
}

static bool no_memory(struct linker *l)
{
    l->out->end = LINK_NO_MEMORY;
    return false;
}

/* A name of the object's own, for a sentence: letters, digits and a few signs, the rest as ?. */
static void clean(char out[NAME_SHOWN + 1], const char *name)
{
    int n = 0;
    for (; name[n] && n < NAME_SHOWN; n++) {
        char c = name[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                     c == '.' || c == '$';
        out[n] = plain ? c : '?';
    }
    out[n] = '\0';
}

static bool refuse_name(struct linker *l, const char *before, const char *name, const char *after)
{
    char shown[NAME_SHOWN + 1], text[256];
    clean(shown, name);
    snprintf(text, sizeof text, "%s%s%s", before, shown, after);
    return refuse(l, text);
}

static bool fits(const struct linker *l, uint64_t at, uint64_t len)
{
    return at <= l->n && len <= l->n - at;
}

static bool section(const struct linker *l, uint32_t i, Elf64_Shdr *out)
{
    if (i >= l->head.e_shnum)
        return false;
    memcpy(out, l->p + l->head.e_shoff + (size_t)i * sizeof *out, sizeof *out);
    return true;
}

/* A string table ends with a zero, so that any offset in it is a string. */
static const char *string(const struct linker *l, const Elf64_Shdr *table, uint32_t at)
{
    return at < table->sh_size ? (const char *)l->p + table->sh_offset + at : "";
}

static bool is_string_table(const struct linker *l, const Elf64_Shdr *s)
{
    return s->sh_type == SHT_STRTAB && s->sh_size > 0 && fits(l, s->sh_offset, s->sh_size) &&
           l->p[s->sh_offset + s->sh_size - 1] == '\0';
}

static bool open_object(struct linker *l)
{
    static const char damaged[] = "its headers are damaged";
    if (l->n < sizeof l->head)
        return refuse(l, "it is not an object of this machine");
    memcpy(&l->head, l->p, sizeof l->head);
    const Elf64_Ehdr *h = &l->head;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL || h->e_machine != l->machine)
        return refuse(l, "it is not an object of this machine");
    if (h->e_shnum == 0 || h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shstrndx >= h->e_shnum ||
        !fits(l, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return refuse(l, damaged);
    if (!section(l, h->e_shstrndx, &l->names) || !is_string_table(l, &l->names))
        return refuse(l, damaged);
    for (uint32_t i = 0; i < h->e_shnum; i++) {
        Elf64_Shdr s;
        section(l, i, &s);
        if (s.sh_type != SHT_SYMTAB)
            continue;
        if (l->n_symbols || s.sh_entsize != sizeof(Elf64_Sym) || !fits(l, s.sh_offset, s.sh_size) ||
            s.sh_size / sizeof(Elf64_Sym) == 0 || !section(l, s.sh_link, &l->strtab) || !is_string_table(l, &l->strtab))
            return refuse(l, damaged);
        l->symtab = s;
        l->n_symbols = (uint32_t)(s.sh_size / sizeof(Elf64_Sym));
    }
    l->piece = calloc(h->e_shnum, sizeof *l->piece);
    l->symbol = calloc(l->n_symbols + 1u, sizeof *l->symbol);
    return (l->piece && l->symbol) || no_memory(l);
}

/* ---- sections ---- */

/* ".text" and ".text.anything" */
static bool is_kind(const char *name, const char *kind)
{
    size_t n = strlen(kind);
    return strncmp(name, kind, n) == 0 && (name[n] == '\0' || name[n] == '.');
}

static bool runs_by_itself(struct linker *l, const char *name)
{
    if (is_kind(name, ".init_array") || is_kind(name, ".preinit_array") || is_kind(name, ".ctors") ||
        is_kind(name, ".init"))
        return !refuse(l, "it has code that runs when it is loaded (a constructor)");
    if (is_kind(name, ".fini_array") || is_kind(name, ".dtors") || is_kind(name, ".fini"))
        return !refuse(l, "it has code that runs at exit (a destructor)");
    return false;
}

/* The block a section belongs to; NOWHERE: it is left out. False: a kernel has no such section. */
static bool classify(struct linker *l, const Elf64_Shdr *s, enum block *out)
{
    const char *name = string(l, &l->names, s->sh_name);
    const uint64_t kind = s->sh_flags & (SHF_WRITE | SHF_EXECINSTR);
    const bool has_bytes = s->sh_type == SHT_PROGBITS;
    *out = NOWHERE;
    if (is_kind(name, ".note.GNU-stack") && (s->sh_flags & SHF_EXECINSTR))
        return refuse(l, "it asks for an executable stack");
    if (!(s->sh_flags & SHF_ALLOC) || s->sh_type == SHT_NOTE || is_kind(name, ".eh_frame") ||
        is_kind(name, ".gcc_except_table"))
        return true;
    if (runs_by_itself(l, name))
        return false;
    if (s->sh_flags & SHF_TLS)
        return refuse(l, "it has thread-local storage of its own making");
    if (kind == (SHF_WRITE | SHF_EXECINSTR))
        return refuse(l, "it has writable code");
    if (kind == SHF_EXECINSTR && has_bytes && is_kind(name, ".text"))
        *out = TEXT;
    else if (has_bytes &&
             ((kind == 0 && is_kind(name, ".rodata")) || (kind == SHF_WRITE && is_kind(name, ".data.rel.ro"))))
        *out = RO;
    else if (kind == SHF_WRITE && has_bytes && is_kind(name, ".data"))
        *out = RW;
    else if (kind == SHF_WRITE && s->sh_type == SHT_NOBITS && is_kind(name, ".bss"))
        *out = ZEROS;
    else if (s->sh_size > 0)
        return refuse_name(l, "it has a section ", name, ", which kernels do not have");
    if (s->sh_flags & SHF_COMPRESSED)
        return refuse(l, "it has a compressed section");
    return true;
}

static bool grow(struct linker *l, enum block b, uint64_t len, uint64_t align, uint32_t *at)
{
    const uint64_t most = b == ZEROS ? VT_IMAGE_MAX_ZEROS : VT_IMAGE_MAX_BLOCK;
    align = align ? align : 1;
    if (align > VT_IMAGE_PAGE || (align & (align - 1)) != 0)
        return refuse(l, "it asks for an alignment beyond a page");
    uint64_t from = (l->size[b] + align - 1) & ~(align - 1);
    if (len > most || from > most - len)
        return refuse(l, b == ZEROS ? "it has more than 1 GiB of data" : "it has more than 16 MiB of code or data");
    *at = (uint32_t)from;
    l->size[b] = from + len;
    if (align > l->align[b])
        l->align[b] = (uint32_t)align;
    return true;
}

static bool classify_all(struct linker *l)
{
    for (uint32_t i = 0; i < l->head.e_shnum; i++) {
        Elf64_Shdr s;
        section(l, i, &s);
        if (!classify(l, &s, &l->piece[i].block))
            return false;
        if ((s.sh_type != SHT_RELA && s.sh_type != SHT_REL) || s.sh_info >= l->head.e_shnum)
            continue;
        l->piece[i].next = l->piece[s.sh_info].relocs;
        l->piece[s.sh_info].relocs = i + 1;
    }
    return true;
}

/* What was reached, in the order of the sections. Zeros come last: they begin where the data end. */
static bool place_sections(struct linker *l)
{
    Elf64_Shdr s;
    for (int b = 0; b < N_BLOCKS; b++)
        l->align[b] = 1;
    for (uint32_t i = 0; i < l->head.e_shnum; i++) {
        struct piece *p = &l->piece[i];
        section(l, i, &s);
        if (!p->is_reached)
            p->block = NOWHERE;
        if (p->block >= ZEROS)
            continue;
        if (!fits(l, s.sh_offset, s.sh_size))
            return refuse(l, "its headers are damaged");
        if (!grow(l, p->block, s.sh_size, s.sh_addralign, &p->at))
            return false;
    }
    l->size[ZEROS] = l->size[RW];
    for (uint32_t i = 0; i < l->head.e_shnum; i++) {
        section(l, i, &s);
        if (l->piece[i].block == ZEROS && !grow(l, ZEROS, s.sh_size, s.sh_addralign, &l->piece[i].at))
            return false;
    }
    l->size[ZEROS] -= l->size[RW];
    l->image.entry = l->piece[l->entry_section].at + l->entry_value;
    return true;
}

/* ---- symbols ---- */

static void get_symbol(const struct linker *l, uint32_t i, Elf64_Sym *out)
{
    memcpy(out, l->p + l->symtab.sh_offset + (size_t)i * sizeof *out, sizeof *out);
}

static bool is_here(const struct linker *l, const Elf64_Sym *s)
{
    return s->st_shndx != SHN_UNDEF && s->st_shndx < l->head.e_shnum && l->piece[s->st_shndx].block != NOWHERE;
}

static bool find_entry(struct linker *l)
{
    bool is_found = false;
    uint32_t n_globals = 0;
    for (uint32_t i = 1; i < l->n_symbols; i++) {
        Elf64_Sym s;
        Elf64_Shdr in;
        get_symbol(l, i, &s);
        if (ELF64_ST_TYPE(s.st_info) == STT_GNU_IFUNC)
            return refuse(l, "it has an indirect function");
        n_globals += ELF64_ST_BIND(s.st_info) != STB_LOCAL;
        if (n_globals > MAX_GLOBALS)
            return refuse(l, "it has more than 4,096 names for others, where a kernel needs one");
        if (is_found || ELF64_ST_BIND(s.st_info) == STB_LOCAL || s.st_shndx == SHN_UNDEF ||
            ELF64_ST_VISIBILITY(s.st_other) == STV_HIDDEN || ELF64_ST_VISIBILITY(s.st_other) == STV_INTERNAL ||
            strcmp(string(l, &l->strtab, s.st_name), l->name) != 0)
            continue;
        if (!is_here(l, &s) || l->piece[s.st_shndx].block != TEXT || !section(l, s.st_shndx, &in) ||
            s.st_value >= in.sh_size)
            return refuse_name(l, "its symbol ", l->name, " is no function");
        l->entry_section = s.st_shndx;
        l->entry_value = (uint32_t)s.st_value;
        is_found = true;
    }
    return is_found || refuse_name(l, "it has no function ", l->name, " that others can call");
}

static int slot_of(const char *name)
{
#define NAME(name) #name,
    static const char *const names[VT_N_SLOTS] = {VT_SLOTS(NAME)};
#undef NAME
    int from = 0, to = VT_N_SLOTS;
    while (from < to) {
        int mid = (from + to) / 2, c = strcmp(name, names[mid]);
        if (c == 0)
            return mid;
        if (c < 0)
            to = mid;
        else
            from = mid + 1;
    }
    return -1;
}

static bool undefined(struct linker *l, const char *name)
{
    char shown[NAME_SHOWN + 1];
    clean(shown, name);
    if (l->out->end != LINK_UNDEFINED) {
        l->out->end = LINK_UNDEFINED;
        l->out->why[0] = '\0';
    }
    size_t n = strlen(l->out->why);
    if (l->n_undefined < MAX_UNDEFINED && !strstr(l->out->why, shown))
        snprintf(
            l->out->why + n, sizeof l->out->why - n,
            "undefined reference to `%s': a kernel can call functions of mathematics, memory, strings and sorting\n",
            shown);
    l->n_undefined++;
    return l->n_undefined < MAX_UNDEFINED;
}

/* ---- relocations ---- */

struct reloc {
    uint32_t type, symbol;
    int64_t addend;
    enum reloc_form form;
    enum block block;
    uint32_t at; /* in the block */
    size_t size;
};

/* Reads one of a section's relocations; its place lies in the section. */
static bool read_reloc(struct linker *l, const Elf64_Shdr *rela, uint64_t i, const Elf64_Shdr *target, struct reloc *r)
{
    Elf64_Rela raw;
    memcpy(&raw, l->p + rela->sh_offset + i * sizeof raw, sizeof raw);
    const struct piece *p = &l->piece[rela->sh_info];
    r->type = (uint32_t)ELF64_R_TYPE(raw.r_info);
    r->symbol = (uint32_t)ELF64_R_SYM(raw.r_info);
    r->addend = raw.r_addend;
    r->form = reloc_form(l->machine, r->type);
    r->size = reloc_size(l->machine, r->type);
    r->block = p->block;
    if (r->form == RELOC_UNKNOWN)
        return refuse(l, "it has relocations of an unusual kind (code that depends on its address?)");
    if (r->symbol >= l->n_symbols || raw.r_offset > target->sh_size || r->size > target->sh_size - raw.r_offset ||
        r->addend > 1ll << 31 || r->addend < -(1ll << 31))
        return refuse(l, "its relocations are damaged");
    r->at = p->at + (uint32_t)raw.r_offset;
    return true;
}

/* Calls visit for every relocation of one section. */
static bool each_reloc_of(struct linker *l, uint32_t target_section,
                          bool (*visit)(struct linker *, const struct reloc *))
{
    const struct piece *p = &l->piece[target_section];
    Elf64_Shdr s, target;
    section(l, target_section, &target);
    for (uint32_t i = p->relocs; i; i = l->piece[i - 1].next) {
        struct reloc r;
        section(l, i - 1, &s);
        if (s.sh_type == SHT_REL || s.sh_entsize != sizeof(Elf64_Rela) || !fits(l, s.sh_offset, s.sh_size) ||
            p->block == ZEROS || (l->n_reloc_bytes += s.sh_size) > l->n)
            return refuse(l, "its relocations are damaged");
        for (uint64_t k = 0; k < s.sh_size / sizeof(Elf64_Rela); k++)
            if (!read_reloc(l, &s, k, &target, &r) || (r.form != RELOC_NOTHING && !visit(l, &r)))
                return false;
    }
    return true;
}

/* Of every section that was placed. */
static bool each_reloc(struct linker *l, bool (*visit)(struct linker *, const struct reloc *))
{
    l->n_reloc_bytes = 0; /* tables may not lie upon each other */
    for (uint32_t i = 0; i < l->head.e_shnum; i++)
        if (l->piece[i].block != NOWHERE && !each_reloc_of(l, i, visit))
            return false;
    return true;
}

static void reach(struct linker *l, uint32_t section_number)
{
    struct piece *p = &l->piece[section_number];
    if (p->is_reached || p->block == NOWHERE)
        return;
    p->is_reached = true;
    l->todo[l->n_todo++] = section_number;
}

static bool reach_target(struct linker *l, const struct reloc *r)
{
    Elf64_Sym s;
    get_symbol(l, r->symbol, &s);
    if (is_here(l, &s))
        reach(l, s.st_shndx);
    return true;
}

/* From the function along the relocations. */
static bool reach_all(struct linker *l)
{
    l->todo = malloc(l->head.e_shnum * sizeof *l->todo);
    if (!l->todo)
        return no_memory(l);
    l->n_reloc_bytes = 0;
    reach(l, l->entry_section);
    while (l->n_todo > 0)
        if (!each_reloc_of(l, l->todo[--l->n_todo], reach_target))
            return false;
    return true;
}

/* What a program asks the processor for at its start (__builtin_cpu_supports): no function, so nothing to jump to. */
static bool is_data(const char *name)
{
    return strcmp(name, "__cpu_model") == 0 || strcmp(name, "__cpu_features2") == 0;
}

/* First visit: is the target one, and does it need an entry in the table, a stub or a copy? */
static bool count_reloc(struct linker *l, const struct reloc *r)
{
    Elf64_Sym s;
    Elf64_Shdr in;
    struct symbol *sym = &l->symbol[r->symbol];
    get_symbol(l, r->symbol, &s);
    bool is_here_ = is_here(l, &s);
    if (!is_here_ && s.st_shndx != SHN_UNDEF)
        return refuse(l, "it refers to something outside its code and data");
    if (is_here_ && (!section(l, s.st_shndx, &in) || s.st_value > in.sh_size))
        return refuse(l, "its symbol table is damaged");
    if (!is_here_) {
        const char *name = string(l, &l->strtab, s.st_name);
        if (r->symbol == 0 || !*name)
            return refuse(l, "its relocations are damaged");
        if (slot_of(name) < 0)
            return undefined(l, name);
        if (r->form == RELOC_NEAR && is_data(name) && !sym->copy)
            sym->copy = ++l->n_copies;
        else if (r->form == RELOC_NEAR && !sym->copy && !sym->stub)
            sym->stub = ++l->n_stubs;
    }
    if (!sym->entry && (r->form == RELOC_TABLE || sym->stub))
        sym->entry = ++l->n_entries;
    return true;
}

static uint32_t block_start(const struct linker *l, enum block b)
{
    /* Zeros were placed behind the data, in one count with them. */
    return b == TEXT ? 0 : b == RO ? l->span.ro_at : l->span.rw_at;
}

static enum vt_image_group group_of(enum block b)
{
    return b == TEXT ? VT_GROUP_TEXT : VT_GROUP_DATA;
}

static bool add_fix(struct linker *l, uint32_t place, enum vt_fix_kind kind, uint16_t target)
{
    if (l->n_fixes == l->room_fixes) {
        size_t room = l->room_fixes ? l->room_fixes * 2 : 64;
        void *more = realloc(l->fix, room * sizeof *l->fix);
        if (!more)
            return no_memory(l);
        l->fix = more;
        l->room_fixes = room;
    }
    l->fix[l->n_fixes++] = (struct vt_image_fix){place, target, (uint16_t)kind};
    return true;
}

static uint32_t entry_address(const struct linker *l, const struct symbol *s)
{
    return l->span.ro_at + l->entries_at + (s->entry - 1) * 8;
}

static uint32_t stub_address(const struct linker *l, const struct symbol *s)
{
    return l->stubs_at + (s->stub - 1) * RELOC_STUB;
}

static uint32_t copy_address(const struct linker *l, const struct symbol *s)
{
    return l->span.ro_at + l->copies_at + (s->copy - 1) * VT_IMAGE_COPY;
}

/* Where a symbol of this object lies in the span, and its block. */
static uint64_t address(const struct linker *l, const Elf64_Sym *s, enum block *b)
{
    const struct piece *p = &l->piece[s->st_shndx];
    *b = p->block;
    return block_start(l, p->block) + p->at + s->st_value;
}

/* An address in 8 bytes: of a place in the span, or of a function. */
static bool write_address(struct linker *l, unsigned char *at, uint32_t from, const Elf64_Sym *s, int64_t addend)
{
    enum block b;
    if (!is_here(l, s)) {
        uint64_t none = 0;
        memcpy(at, &none, sizeof none);
        if (addend != 0)
            return refuse(l, "it refers to something outside its code and data");
        return add_fix(l, from, VT_FIX_SLOT, (uint16_t)slot_of(string(l, &l->strtab, s->st_name)));
    }
    uint64_t to = address(l, s, &b) + (uint64_t)addend;
    if (to > l->span.size)
        return refuse(l, "it refers to something outside its code and data");
    memcpy(at, &to, sizeof to);
    return add_fix(l, from, VT_FIX_ADDRESS, (uint16_t)group_of(b));
}

static bool write_near(struct linker *l, uint32_t type, unsigned char *at, uint32_t from, enum block from_block,
                       uint64_t to, enum block to_block)
{
    if (!reloc_write(l->machine, type, at, from, to))
        return refuse(l, "it refers to something out of reach");
    if (l->machine != EM_X86_64 || group_of(from_block) == group_of(to_block))
        return true;
    return add_fix(l, from, VT_FIX_DISTANCE, (uint16_t)group_of(to_block));
}

/* Second visit, with all addresses known. */
static bool apply_reloc(struct linker *l, const struct reloc *r)
{
    Elf64_Sym s;
    enum block b;
    const struct symbol *sym = &l->symbol[r->symbol];
    unsigned char *at = l->bytes[r->block] + r->at;
    uint32_t from = block_start(l, r->block) + r->at;
    get_symbol(l, r->symbol, &s);
    if (r->form == RELOC_ADDRESS)
        return write_address(l, at, from, &s, r->addend);
    if (r->form == RELOC_TABLE)
        return write_near(l, r->type, at, from, r->block, entry_address(l, sym) + (uint64_t)r->addend, RO);
    if (sym->copy)
        return write_near(l, r->type, at, from, r->block, copy_address(l, sym) + (uint64_t)r->addend, RO);
    if (!is_here(l, &s))
        return write_near(l, r->type, at, from, r->block, stub_address(l, sym) + (uint64_t)r->addend, TEXT);
    uint64_t to = address(l, &s, &b) + (uint64_t)r->addend;
    return write_near(l, r->type, at, from, r->block, to, b);
}

/* ---- the image ---- */

static bool lay_out(struct linker *l)
{
    if (!grow(l, TEXT, (uint64_t)l->n_stubs * RELOC_STUB, RELOC_STUB, &l->stubs_at) ||
        !grow(l, RO, (uint64_t)l->n_entries * 8, 8, &l->entries_at) ||
        !grow(l, RO, (uint64_t)l->n_copies * VT_IMAGE_COPY, VT_IMAGE_COPY, &l->copies_at))
        return false;
    struct vt_image_head *h = &l->image;
    memcpy(h->magic, VT_IMAGE_MAGIC, sizeof h->magic);
    h->slots = vt_slots_digest();
    h->text_len = (uint32_t)l->size[TEXT];
    h->ro_len = (uint32_t)l->size[RO];
    h->rw_len = (uint32_t)l->size[RW];
    h->zeros_len = (uint32_t)l->size[ZEROS];
    h->text_align = l->align[TEXT];
    h->data_align = 64;
    for (int b = RO; b <= ZEROS; b++)
        if (l->align[b] > h->data_align)
            h->data_align = l->align[b];
    /* On aarch64 instructions know where things lie in their page: nothing can be moved by less. */
    if (l->machine != EM_X86_64)
        h->text_align = h->data_align = VT_IMAGE_PAGE;
    l->span = vt_image_span(h);
    for (int b = TEXT; b <= RW; b++) {
        l->bytes[b] = malloc(l->size[b] + 1);
        if (!l->bytes[b])
            return no_memory(l);
        memset(l->bytes[b], b == TEXT && l->machine == EM_X86_64 ? 0xcc : 0, l->size[b]);
    }
    return true;
}

static bool fill_blocks(struct linker *l)
{
    for (uint32_t i = 0; i < l->head.e_shnum; i++) {
        const struct piece *p = &l->piece[i];
        Elf64_Shdr s;
        section(l, i, &s);
        if (p->block < ZEROS)
            memcpy(l->bytes[p->block] + p->at, l->p + s.sh_offset, s.sh_size);
    }
    for (uint32_t i = 0; i < l->n_symbols; i++) {
        const struct symbol *sym = &l->symbol[i];
        Elf64_Sym s;
        get_symbol(l, i, &s);
        if (sym->copy &&
            !add_fix(l, copy_address(l, sym), VT_FIX_COPY, (uint16_t)slot_of(string(l, &l->strtab, s.st_name))))
            return false;
        if (!sym->entry)
            continue;
        uint32_t entry = entry_address(l, sym), stub = stub_address(l, sym);
        if (!write_address(l, l->bytes[RO] + (entry - l->span.ro_at), entry, &s, 0))
            return false;
        if (!sym->stub)
            continue;
        if (!reloc_stub(l->machine, l->bytes[TEXT] + stub, stub, entry))
            return refuse(l, "it refers to something out of reach");
        if (l->machine == EM_X86_64 && !add_fix(l, stub + 2, VT_FIX_DISTANCE, VT_GROUP_DATA))
            return false;
    }
    return each_reloc(l, apply_reloc);
}

static bool write_image(struct linker *l)
{
    struct vt_image_head *h = &l->image;
    h->n_fixes = (uint32_t)l->n_fixes;
    size_t fixes = l->n_fixes * sizeof *l->fix, n = sizeof *h + fixes + h->text_len + h->ro_len + h->rw_len;
    unsigned char *p = malloc(n);
    if (!p)
        return no_memory(l);
    l->out->image = p;
    l->out->image_len = n;
    memcpy(p, h, sizeof *h);
    p += sizeof *h;
    if (fixes)
        memcpy(p, l->fix, fixes);
    p += fixes;
    for (int b = TEXT; b <= RW; p += l->size[b], b++)
        memcpy(p, l->bytes[b], l->size[b]);
    return true;
}

void link_object(const unsigned char *object, size_t n, uint16_t machine, const char *symbol, struct link_result *out)
{
    struct linker l = {.p = object, .n = n, .machine = machine, .name = symbol, .out = out};
    memset(out, 0, sizeof *out);
    if (open_object(&l) && classify_all(&l) && find_entry(&l) && reach_all(&l) && place_sections(&l) &&
        each_reloc(&l, count_reloc) && out->end == LINK_OK && lay_out(&l) && fill_blocks(&l))
        (void)write_image(&l);
    free(l.piece);
    free(l.symbol);
    free(l.todo);
    free(l.fix);
    for (int b = TEXT; b <= RW; b++)
        free(l.bytes[b]);
}
