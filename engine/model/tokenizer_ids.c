/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_ids.c: the growing list of token ids that encoding appends to.
 */
#include "base/alloc.h"
#include "model/tokenizer.h"

#include <stdlib.h>

void vt_ids_free(struct vt_ids *ids)
{
    free(ids->p);
    *ids = (struct vt_ids){0};
}

vt_status vt_ids_push(struct vt_ids *ids, int32_t id, vt_err *err)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 64;
        int32_t *p = vt_realloc_array(ids->p, cap, sizeof *p);
        if (!p)
            return vt_fail(err, VT_ENOMEM, "out of memory for %zu token ids", cap);
        ids->p = p;
        ids->cap = cap;
    }
    ids->p[ids->n++] = id;
    return VT_OK;
}
