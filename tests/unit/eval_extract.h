/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_extract.h: what the tests of reading answers expect of one.
 */
#ifndef TESTS_EVAL_EXTRACT_H
#define TESTS_EVAL_EXTRACT_H

#include "eval/extract.h"
#include "harness.h"
#include <string.h>

/* The body or the function of an answer, wherever it stands. */
static inline void expect_body(const char *answer, const char *text)
{
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", true, &c, &err), err);
    CHECK_STR(c.text, text);
    vt_code_free(&c);
}

static inline void expect_none(const char *answer, bool is_answer, const char *why)
{
    struct vt_code c;
    vt_err err;
    CHECK_OK(vt_extract(answer, strlen(answer), "relu", is_answer, &c, &err), err);
    CHECK(c.text == NULL);
    CHECK(strstr(c.why, why) != NULL);
    vt_code_free(&c);
}

#endif
