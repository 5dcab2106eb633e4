/* SPDX-License-Identifier: Apache-2.0
 *
 * farm_request.c: any line as a request, in memory that ends with it. What is taken is whole: a task, code that is not
 * empty. The id comes back as a JSON text of one line, whatever is wrong with the rest, and an answer with it is JSON.
 */
#include "base/json.h"
#include "farm/answer.h"
#include "farm/request.h"
#include "fuzz.h"
#include <string.h>

static void must_parse(const char *text, size_t n)
{
    vt_json *j = NULL;
    vt_err err = {0};
    if (memchr(text, '\n', n) || vt_json_parse(text, n, "an answer", &j, &err) != VT_OK)
        abort();
    vt_json_free(j);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct vt_farm_request r;
    struct vt_eval_request q;
    struct vt_buf answer;
    vt_err err = {0};
    char *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, data, size);
    vt_status status = vt_farm_request_parse(exact, size, &r, &err);
    must_explain(status, &err);
    vt_buf_init(&answer, 1 << 20);
    if (status == VT_OK) {
        if (r.code_len == 0 || strlen(r.code) != r.code_len || !r.task == !r.parsed)
            abort();
        vt_farm_request_fill(&r, r.parsed, &q);
        vt_farm_answer_verdict(r.id, "{\"status\":\"correct_fast\"}", &answer);
    } else {
        vt_farm_answer_error(r.id, 1, &err, &answer);
    }
    must_parse(answer.p, answer.len - 1); /* without its line end */
    vt_buf_free(&answer);
    vt_farm_request_free(&r);
    free(exact);
    return 0;
}
