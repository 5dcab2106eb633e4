/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_tinker.c: any bytes as results of the Tinker API, in protobuf and in JSON: samples and batches. What is taken
 * is whole: as many log-probabilities as tokens, each finite and not above 0.
 */
#include "base/json.h"
#include "fuzz.h"
#include "policy/tinker.h"
#include <math.h>
#include <string.h>

static void must(bool is)
{
    if (!is)
        abort();
}

static void read_samples(const struct vt_tinker_reply *r)
{
    struct vt_tinker_samples s;
    vt_err err = {0};
    const vt_status status = vt_tinker_read_samples(r, &s, &err);

    must_explain(status, &err);
    for (size_t i = 0; status == VT_OK && i < s.n; i++)
        for (size_t t = 0; t < s.seqs[i].n; t++)
            must(isfinite(s.seqs[i].logprobs[t]) && s.seqs[i].logprobs[t] <= 0 &&
                 s.seqs[i].tokens[t] == s.seqs[i].tokens[t]);
    vt_tinker_samples_free(&s);
}

static void read_batch(const struct vt_tinker_reply *r)
{
    static const int32_t prompt[] = {1, 2}, tokens[] = {3, 4, 5};
    float logp[2][3] = {{1, 1, 1}, {1, 1, 1}};
    const struct vt_train_seq seqs[] = {
        {.prompt = prompt, .n_prompt = 2, .tokens = tokens, .n_tokens = 2, .logp = logp[0]},
        {.prompt = prompt, .n_prompt = 1, .tokens = tokens, .n_tokens = 3, .logp = logp[1]}};
    const struct vt_tinker_batch b = {.seqs = seqs, .n = 2, .loss = "cross_entropy"};
    vt_err err = {0};
    const vt_status status = vt_tinker_read_batch(r, &b, &err);

    must_explain(status, &err);
    for (int i = 0; status == VT_OK && i < 5; i++)
        must(logp[i / 2 > 0][i < 2 ? i : i - 2] <= 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *exact = malloc(size ? size : 1);
    vt_json *j = NULL;

    must(exact != NULL);
    memcpy(exact, data, size);
    struct vt_tinker_reply r = {.status = 200, .proto = exact, .len = size};

    read_samples(&r);
    read_batch(&r);
    if (vt_json_parse(exact, size, "a result", &j, NULL) == VT_OK) {
        r = (struct vt_tinker_reply){.status = 200, .json = j};
        read_samples(&r);
        read_batch(&r);
    }
    vt_json_free(j);
    free(exact);
    return 0;
}
