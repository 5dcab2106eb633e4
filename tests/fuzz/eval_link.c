/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_link.c: any bytes as an object for the linker, of either machine (the first byte says which, the second is the
 * placement), and any bytes as an image for the loader. The object is read from memory that ends with it. What the
 * linker makes passes the check, is the same when it is made again, and is put into place inside its span.
 */
#include "eval/c/worker/link.c"
#include "eval/c/worker/load.c"
#include "eval/c/worker/relocate.c"
#include "eval/c/worker/slots.c"
#include "fuzz.h"

bool cage_seccomp(const struct vt_wire_call *page, const struct vt_wire_shared *shared)
{
    return page == NULL && shared == NULL;
}

static void place(const unsigned char *image, size_t n, uint32_t placement)
{
    struct vt_wire_request r = {.placement = placement};
    struct load l;
    unsigned char *exact = malloc(n ? n : 1);
    if (!exact)
        abort();
    memcpy(exact, image, n);
    const char *why = vt_image_check(exact, n, &r.image);
    if (!why) {
        load_plan(&l, &r);
        l.base = exact; /* an address like any other */
        unsigned char *out = malloc(l.file_len);
        if (!out || !prepare(&l, exact, n, out) || load_entry(&l) < l.base)
            abort();
        free(out);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct link_result a, b;
    if (size < 2)
        return 0;
    uint16_t machine = data[0] & 1 ? EM_AARCH64 : EM_X86_64;
    unsigned char *exact = malloc(size);
    if (!exact)
        abort();
    memcpy(exact, data + 2, size - 2);
    unsigned char *object = realloc(exact, size - 2 ? size - 2 : 1);
    if (!object)
        abort();
    link_object(object, size - 2, machine, "f", &a);
    link_object(object, size - 2, machine, "f", &b);
    if (a.end == LINK_NO_MEMORY || a.end != b.end || a.image_len != b.image_len || strcmp(a.why, b.why) != 0 ||
        (a.end == LINK_OK && memcmp(a.image, b.image, a.image_len) != 0))
        abort();
    struct vt_image_head h;
    if (a.end == LINK_OK) {
        if (vt_image_check(a.image, a.image_len, &h))
            abort();
        place(a.image, a.image_len, data[1]);
    } else if (a.why[0] == '\0') {
        abort();
    }
    place(object, size - 2, data[1]);
    free(a.image);
    free(b.image);
    free(object);
    return 0;
}
