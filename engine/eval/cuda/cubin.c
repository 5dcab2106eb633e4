/* SPDX-License-Identifier: Apache-2.0
 *
 * cubin.c: the ELF file that NVRTC makes. Kernels are its sections `.text.NAME`; their parameters stand in
 * `.nv.info.NAME` as records {format, attribute, length or value}, of which attribute 0x17 describes one parameter:
 * index, ordinal, offset and, in the upper 14 bits of the last word, its size. Variables have sections of their own.
 * Every offset is checked: the bytes come from a compiler that read a stranger's text.
 */
#include "eval/cuda/cubin.h"
#include <elf.h>
#include <stdio.h>
#include <string.h>

enum { PARAMETER = 0x17, HAS_PAYLOAD = 4 };
#define INFO ".nv.info."
#define TEXT ".text"
#define GLOBAL ".nv.global"  /* __device__ variables, .init where they have values */
#define USER ".nv.constant3" /* __constant__ variables */

static const char *string_at(const unsigned char *image, size_t len, const Elf64_Shdr *table, size_t at)
{
    if (at >= table->sh_size || table->sh_offset > len || table->sh_size > len - table->sh_offset)
        return NULL;
    const char *s = (const char *)image + table->sh_offset + at;
    return memchr(s, '\0', table->sh_size - at) ? s : NULL;
}

static bool section(const unsigned char *image, size_t len, const Elf64_Ehdr *head, unsigned i, Elf64_Shdr *out)
{
    if (head->e_shentsize != sizeof *out || head->e_shoff > len || (len - head->e_shoff) / sizeof *out <= (size_t)i)
        return false;
    memcpy(out, image + head->e_shoff + (size_t)i * sizeof *out, sizeof *out);
    return out->sh_type == SHT_NOBITS || (out->sh_offset <= len && out->sh_size <= len - out->sh_offset);
}

static void read_parameters(const unsigned char *p, size_t len, struct vt_cubin_kernel *k)
{
    size_t at = 0;
    while (len - at >= 4) {
        const unsigned char format = p[at], attribute = p[at + 1];
        uint16_t n;
        memcpy(&n, p + at + 2, sizeof n);
        at += 4;
        if (format != HAS_PAYLOAD)
            continue;
        if (n > len - at)
            return;
        if (attribute == PARAMETER && n >= 12) {
            uint16_t ordinal;
            uint32_t word;
            memcpy(&ordinal, p + at + 4, sizeof ordinal);
            memcpy(&word, p + at + 8, sizeof word);
            if (ordinal < VT_CUBIN_MAX_PARAMS) {
                const uint32_t size = word >> 18;
                k->size[ordinal] = size > 255 ? 255 : (unsigned char)size;
            }
            k->n_params = ordinal + 1u > k->n_params ? ordinal + 1u : k->n_params;
        }
        at += n;
    }
}

bool vt_cubin_read(const unsigned char *image, size_t len, struct vt_cubin *out)
{
    Elf64_Ehdr head;
    Elf64_Shdr names, s;
    struct vt_sha256 h;
    memset(out, 0, sizeof *out);
    if (len < sizeof head)
        return false;
    memcpy(&head, image, sizeof head);
    if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        !section(image, len, &head, head.e_shstrndx, &names))
        return false;
    vt_sha256_init(&h);
    for (unsigned i = 0; i < head.e_shnum; i++) {
        if (!section(image, len, &head, i, &s))
            return false;
        const char *name = string_at(image, len, &names, s.sh_name);
        if (!name)
            return false;
        if (strncmp(name, TEXT, strlen(TEXT)) == 0 && s.sh_type != SHT_NOBITS)
            vt_hash_field(&h, "text", image + s.sh_offset, s.sh_size);
        out->has_variables |= strncmp(name, GLOBAL, strlen(GLOBAL)) == 0 || strncmp(name, USER, strlen(USER)) == 0;
        if (strncmp(name, INFO, strlen(INFO)) != 0 || s.sh_type == SHT_NOBITS)
            continue;
        if (out->n_kernels == VT_CUBIN_MAX_KERNELS)
            return false;
        struct vt_cubin_kernel *k = &out->kernel[out->n_kernels++];
        snprintf(k->name, sizeof k->name, "%s", name + strlen(INFO));
        read_parameters(image + s.sh_offset, s.sh_size, k);
    }
    vt_sha256_hex(&h, out->text_sha);
    return true;
}

const struct vt_cubin_kernel *vt_cubin_find(const struct vt_cubin *c, const char *name)
{
    char mangled[VT_PLAN_NAME + 16];
    snprintf(mangled, sizeof mangled, "_Z%zu%s", strlen(name), name);
    for (unsigned i = 0; i < c->n_kernels; i++)
        if (strcmp(c->kernel[i].name, name) == 0)
            return &c->kernel[i];
    for (unsigned i = 0; i < c->n_kernels; i++)
        if (strncmp(c->kernel[i].name, mangled, strlen(mangled)) == 0)
            return &c->kernel[i];
    return NULL;
}

static bool launch_fits(const struct vt_cubin *c, const vt_task *t, const struct vt_plan_launch *l, char why[256])
{
    const struct vt_cubin_kernel *k = vt_cubin_find(c, l->kernel);
    if (!k) {
        snprintf(why, 256, "line %u of the launch plan: there is no kernel \"%s\" in the code%s%.80s", l->line,
                 l->kernel, c->n_kernels ? "; it has " : "; it has none", c->n_kernels ? c->kernel[0].name : "");
        return false;
    }
    if (k->n_params != l->n_args) {
        snprintf(why, 256, "line %u of the launch plan: kernel \"%s\" takes %u parameters, args(…) names %u", l->line,
                 l->kernel, k->n_params, l->n_args);
        return false;
    }
    for (unsigned i = 0; i < l->n_args && i < VT_CUBIN_MAX_PARAMS; i++) {
        const bool is_pointer = l->arg[i].kind == VT_ARG_ARRAY || l->arg[i].kind == VT_ARG_SCRATCH;
        const bool is_float = l->arg[i].kind == VT_ARG_SCALAR && !vt_task_scalar(t, l->arg[i].index)->is_int;
        if (k->size[i] == (is_pointer ? 8 : 4))
            continue;
        snprintf(why, 256,
                 "line %u of the launch plan: parameter %u of kernel \"%s\" has %u bytes; what args(…) passes there is "
                 "%s",
                 l->line, i + 1, l->kernel, k->size[i],
                 is_pointer ? "a pointer"
                 : is_float ? "a float"
                            : "an int");
        return false;
    }
    return true;
}

bool vt_cubin_fits(const struct vt_cubin *c, const vt_task *t, const struct vt_launch_plan *p, char why[256])
{
    why[0] = '\0';
    for (unsigned i = 0; i < p->n_launches; i++)
        if (!launch_fits(c, t, &p->launch[i], why))
            return false;
    return true;
}
