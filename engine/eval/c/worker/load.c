/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c: the image's bytes into place.
 *
 * Placing means adding shifts and addresses at the places that the image lists. Nothing else is read from it, and every
 * place was checked to lie in its block; still the work is done by a child in its own filter, which cannot do anything
 * but compute and leave, so that the template never reads a byte that a candidate has shaped. The child fills a file in
 * memory; calls map that file privately: each has its own data, fresh, and all calls of a template run code that lies
 * in the same physical pages, as timing wants it.
 */
#include "eval/c/worker/load.h"
#include "eval/c/worker/cage.h"
#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
    WARM_ZEROS = 1 << 20, /* written before the clock starts */
    WARM_LINES = 64 << 10 /* of code and of constants: read before the clock starts */
};

void load_plan(struct load *l, const struct vt_wire_request *r)
{
    memset(l, 0, sizeof *l);
    l->head = r->image;
    l->span = vt_image_span(&l->head);
    l->text_shift = vt_image_shift(r->placement, l->head.text_align, 1);
    l->data_shift = vt_image_shift(r->placement, l->head.data_align, 2);
    l->file_len = l->span.rw_at + vt_image_pages(l->data_shift + l->head.rw_len);
}

static unsigned char *block(const struct load *l, unsigned char *base, int i)
{
    return base + (i == 0 ? l->text_shift : (i == 1 ? l->span.ro_at : l->span.rw_at) + l->data_shift);
}

bool load_reserve(struct load *l)
{
    l->base = mmap(NULL, l->span.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (l->base == MAP_FAILED)
        return false;
    size_t end = vt_image_pages(l->span.rw_at + l->data_shift + l->head.rw_len + l->head.zeros_len);
    return end <= l->file_len || mprotect(l->base + l->file_len, end - l->file_len, PROT_READ | PROT_WRITE) == 0;
}

/* ---- the preparing child ---- */

static void apply(const struct load *l, const struct vt_image_fix *f, unsigned char *out)
{
    const uint64_t shift[VT_N_GROUPS] = {l->text_shift, l->data_shift};
    const enum vt_image_group group = f->place < l->span.ro_at ? VT_GROUP_TEXT : VT_GROUP_DATA;
    unsigned char *at = out + f->place + shift[group];
    uint64_t address;
    uint32_t distance;
    switch ((enum vt_fix_kind)f->kind) {
    case VT_FIX_ADDRESS:
        memcpy(&address, at, sizeof address);
        address += (uintptr_t)l->base + shift[f->target];
        memcpy(at, &address, sizeof address);
        return;
    case VT_FIX_DISTANCE:
        memcpy(&distance, at, sizeof distance);
        distance += (uint32_t)(shift[f->target] - shift[group]);
        memcpy(at, &distance, sizeof distance);
        return;
    case VT_FIX_SLOT:
        address = (uintptr_t)slot_address(f->target);
        memcpy(at, &address, sizeof address);
        return;
    case VT_FIX_COPY:
        memcpy(at, slot_address(f->target), VT_IMAGE_COPY);
        return;
    case VT_N_FIX_KINDS:
        return;
    }
}

static bool prepare(const struct load *l, const unsigned char *image, size_t n, unsigned char *out)
{
    struct vt_image_head h;
    if (vt_image_check(image, n, &h) || memcmp(&h, &l->head, sizeof h) != 0)
        return false;
    const unsigned char *from = vt_image_text(image, &h);
    const uint32_t len[] = {h.text_len, h.ro_len, h.rw_len};
    for (int i = 0; i < 3; from += len[i], i++)
        memcpy(block(l, out, i), from, len[i]);
    for (uint32_t i = 0; i < h.n_fixes; i++) {
        struct vt_image_fix f;
        memcpy(&f, image + sizeof h + i * sizeof f, sizeof f);
        apply(l, &f, out);
    }
    return true;
}

enum load_end load_prepare(const struct load *l, int image_fd, size_t image_len, int prepared_fd)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        const unsigned char *image = mmap(NULL, image_len, PROT_READ, MAP_PRIVATE, image_fd, 0);
        unsigned char *out = mmap(NULL, l->file_len, PROT_READ | PROT_WRITE, MAP_SHARED, prepared_fd, 0);
        if (image == MAP_FAILED || out == MAP_FAILED || syscall(SYS_close_range, 0u, ~0u, 0) != 0 ||
            !cage_seccomp(NULL, NULL))
            _exit(LOAD_FAILED);
        _exit(prepare(l, image, image_len, out) ? LOAD_DONE : LOAD_DAMAGED);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && WIFEXITED(status) ? (enum load_end)WEXITSTATUS(status) : LOAD_FAILED;
}

/* ---- call children ---- */

static bool map_part(const struct load *l, int fd, size_t from, size_t len, int prot)
{
    return len == 0 || mmap(l->base + from, vt_image_pages((uint32_t)len), prot, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE,
                            fd, (off_t)from) != MAP_FAILED;
}

bool load_map(const struct load *l, int prepared_fd)
{
    const struct vt_image_head *h = &l->head;
    const size_t ro = h->ro_len ? l->data_shift + h->ro_len : 0, rw = l->file_len - l->span.rw_at;
    return map_part(l, prepared_fd, 0, l->text_shift + h->text_len, PROT_READ | PROT_EXEC) &&
           map_part(l, prepared_fd, l->span.ro_at, ro, PROT_READ) &&
           map_part(l, prepared_fd, l->span.rw_at, h->rw_len + h->zeros_len ? rw : 0, PROT_READ | PROT_WRITE);
}

static void read_lines(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n && i < WARM_LINES; i += 64)
        (void)*(const volatile unsigned char *)(p + i);
}

void load_warm(const struct load *l)
{
    const struct vt_image_head *h = &l->head;
    size_t end = vt_image_pages(l->span.rw_at + l->data_shift + h->rw_len + h->zeros_len);
    for (size_t at = l->file_len; at < end && at < l->file_len + WARM_ZEROS; at += VT_IMAGE_PAGE)
        *(volatile unsigned char *)(l->base + at) = 0;
    read_lines(block(l, l->base, 0), h->text_len);
    read_lines(block(l, l->base, 1), h->ro_len);
}

const unsigned char *load_entry(const struct load *l)
{
    return block(l, l->base, 0) + l->head.entry;
}
