/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_torch.c: the torch tier on torch's CPU device: bodies and whole files against a problem file, and what a
 * candidate may try in its own process. Skipped where no Python has torch.
 */
#include "base/buf.h"
#include "base/json.h"
#include "eval/torch/text.h"
#include "eval_fixture.h"

#define PROBLEM                                                                                                        \
    "import torch\nimport torch.nn as nn\n\nclass Model(nn.Module):\n    \"\"\"A softmax.\"\"\"\n"                     \
    "    def __init__(self, dim):\n        super(Model, self).__init__()\n        self.dim = dim\n\n"                  \
    "    def forward(self, x: torch.Tensor) -> torch.Tensor:\n        return torch.softmax(x, dim=self.dim)\n\n"       \
    "def get_inputs():\n    return [torch.rand(64, 8192)]\n\ndef get_init_inputs():\n    return [1]\n"
#define SOFTMAX "e = torch.exp(x - x.max(dim=1, keepdim=True).values)\n"

static vt_eval *ev;
static vt_task *task;
static bool is_skipped;
static char why[256];

static bool open_eval(void)
{
    vt_err err = {0};
    struct vt_buf json;
    if (ev || is_skipped)
        return ev != NULL;
    const struct vt_eval_opts o = {.tier = "torch", .secret = 7, .no_cache = true};
    const vt_status s = vt_eval_open(&o, &ev, &err);
    if (s == VT_EUNSUPPORTED) {
        snprintf(why, sizeof why, "%.250s", err.msg);
        is_skipped = true;
        return false;
    }
    CHECK_OK(s, err);
    vt_buf_init(&json, 1 << 16);
    vt_buf_puts(&json,
                "{\"id\":23,\"level\":1,\"name\":\"softmax\",\"title\":\"23_Softmax\",\"family\":\"torch\",\"torch\":");
    vt_json_write_string(&json, PROBLEM, strlen(PROBLEM));
    vt_buf_puts(&json, "}");
    CHECK_OK(vt_task_parse(json.p, json.len, &task, &err), err);
    vt_buf_free(&json);
    return ev && task;
}

static const struct row {
    const char *name, *code;
    vt_verdict_status status;
    const char *said;
} rows[] = {
    {"a body", SOFTMAX "return e / e.sum(dim=1, keepdim=True)\n", VT_CORRECT_SLOW, ""},
    {"an answer",
     "<think>```python\nreturn x\n```</think>\nFaster:\n```python\n" SOFTMAX
     "return e * (1 / e.sum(dim=self.dim, keepdim=True))\n```\n",
     VT_CORRECT_SLOW, ""},
    {"a whole file",
     "import torch\nclass ModelNew(torch.nn.Module):\n    def __init__(self, dim):\n        super().__init__()\n"
     "    def forward(self, x):\n        return torch.softmax(x, dim=1)\n",
     VT_CORRECT_SLOW, ""},
    {"the shown body", "        return torch.softmax(x, dim=self.dim)  # as it was\n", VT_CORRECT_SLOW, ""},
    /* 1 / 8192 lies within 1e-4 of nothing at all */
    {"zeros", "return torch.zeros_like(x)\n", VT_WRONG_OUTPUT, "expected"},
    {"the sum of half a row", SOFTMAX "return e / (2 * e[:, :4096].sum(dim=1, keepdim=True))\n", VT_WRONG_OUTPUT, ""},
    {"without the maximum, of inputs from 0 to 1",
     "e = torch.exp(x.clamp(0, 1))\nreturn e / e.sum(dim=1, keepdim=True)\n", VT_WRONG_OUTPUT, ""},
    {"the first answer again", "if not hasattr(self, 'y'):\n    self.y = torch.softmax(x, dim=1)\nreturn self.y\n",
     VT_WRONG_OUTPUT, ""},
    {"nothing", "return torch.empty_like(x)\n", VT_WRONG_OUTPUT, ""},
    {"another comparison", "torch.allclose = lambda *a, **k: True\nreturn x\n", VT_WRONG_OUTPUT, ""},
    {"what callers hold",
     "import sys\nf = sys._getframe()\nwhile f:\n    for v in f.f_locals.values():\n"
     "        if hasattr(v, 'truths'):\n            return v.truths[0][0]\n    f = f.f_back\nreturn x\n",
     VT_WRONG_OUTPUT, ""},
    {"another shape", "return torch.softmax(x, dim=1)[:, :100]\n", VT_RUNTIME_ERROR, "returned [64, 100]"},
    {"an exception", "raise KeyError('k')\n", VT_RUNTIME_ERROR, "KeyError"},
    {"the end", "import os\nos._exit(0)\n", VT_RUNTIME_ERROR, "ended its process"},
    {"no end", "while True:\n    pass\n", VT_TIMED_OUT, "in time"},
    {"another's file", "return torch.tensor(len(open('" VT_SOURCE_DIR "/README.md').read()))\n", VT_RUNTIME_ERROR,
     "PermissionError"},
    {"the judge's folder", "import os, glob\nreturn torch.tensor(len(os.listdir('/dev/shm')))\n", VT_RUNTIME_ERROR,
     "PermissionError"},
    {"syntax", "return torch.softmax(x\n", VT_COMPILE_ERROR, "does not compile"},
    {"no class", "class ModelNew:\n    nothing = undefined_name\n", VT_LOAD_ERROR, "undefined_name"},
};

static void test_rows(void)
{
    if (!open_eval())
        SKIP(why);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture_result r;
        const char *only = getenv("ROW");
        if (only && !strstr(rows[i].name, only))
            continue;
        fixture_judge(ev, task, rows[i].code,
                      (struct vt_eval_request){.tier = "torch", .skip_timing = i > 0, .extract = i == 1}, &r);
        CHECK_OK(r.status, r.err);
        if (r.status == VT_OK) {
            const bool is_right = rows[i].status == VT_CORRECT_SLOW ? r.v.correct : r.v.status == rows[i].status;
            if (!is_right || !strstr(r.feedback, rows[i].said))
                printf("  %s: %s: %s\n", rows[i].name, vt_verdict_status_name(r.v.status), r.feedback);
            CHECK(is_right);
            CHECK(strstr(r.feedback, rows[i].said));
            CHECK_INT(r.v.is_copy, strcmp(rows[i].name, "the shown body") == 0);
        }
        fixture_result_free(&r);
    }
}

/* A tier judges its own kind of task. */
static void test_kinds(void)
{
    char *text = NULL;
    vt_err err = {0};
    if (!open_eval())
        SKIP(why);
    CHECK_INT(vt_eval_prompt("c", task, NULL, &text, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "--tier torch"));
    vt_task *relu = fixture_task("relu");
    CHECK_INT(vt_eval_prompt("torch", relu, NULL, &text, &err), VT_EUNSUPPORTED);
    CHECK_OK(vt_eval_prompt("torch", task, NULL, &text, &err), err);
    CHECK_STR(text, PROBLEM);
    free(text);
    vt_task_unref(relu);
}

static void test_text(void)
{
    const char *body;
    size_t n;
    CHECK(vt_torch_forward(PROBLEM, &body, &n));
    CHECK(n == strlen("        return torch.softmax(x, dim=self.dim)\n\n"));
    CHECK(vt_torch_is_same("return  x # a", 13, "return x\n", 9));
    CHECK(!vt_torch_is_same("return x", 8, "return y", 8));
}

static void test_close(void)
{
    vt_eval_close(ev);
    vt_task_unref(task);
    ev = NULL;
    task = NULL;
}

static const struct test_case cases[] = {TEST(test_text), TEST(test_kinds), TEST(test_rows), TEST(test_close)};
TEST_MAIN(cases)
