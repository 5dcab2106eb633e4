/* SPDX-License-Identifier: Apache-2.0
 *
 * key.c: every field with its name and length, so that no two lists of fields give the same bytes.
 */
#include "eval/key.h"
#include "base/rng.h"
#include <string.h>

void vt_case_keys(const struct vt_key_parts *p, struct vt_case_keys *out)
{
    struct vt_sha256 h;
    vt_sha256_init(&h);
    vt_hash_str(&h, "task", vt_task_digest(p->task));
    if (p->code->text)
        vt_hash_field(&h, "code", p->code->text, p->code->len);
    else
        vt_hash_field(&h, "answer", p->answer, p->answer_len);
    vt_hash_str(&h, "tier", p->tier);
    vt_hash_str(&h, "scale", p->scale);
    vt_hash_str(&h, "protocol", p->protocol);
    vt_hash_str(&h, "evaluator", p->evaluator);
    vt_hash_str(&h, "compiler", p->compiler);
    vt_hash_str(&h, "baseline", p->baseline);
    vt_hash_str(&h, "machine", p->machine);
    vt_sha256_hex(&h, out->settled);
    memcpy(out->key, out->settled, sizeof out->key);
    if (!p->replicate && !p->confirms)
        return;
    vt_sha256_init(&h);
    vt_hash_str(&h, "verdict", out->settled);
    vt_hash_u64(&h, "replicate", (uint64_t)p->replicate);
    vt_hash_str(&h, "confirms", p->confirms ? p->confirms : "");
    vt_sha256_hex(&h, out->key);
}
