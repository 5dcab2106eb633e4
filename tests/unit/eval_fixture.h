/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_fixture.h: small tasks and a blocking call for tests of the evaluator. The tasks are stand-ins for the families
 * that matter to judging: elementwise, row reduction, matmul, scalar loss, integer output, in-place state.
 */
#ifndef VT_TEST_EVAL_FIXTURE_H
#define VT_TEST_EVAL_FIXTURE_H

#include "harness.h"
#include <pthread.h>
#include <vegttt/eval.h>

struct fixture_task {
    const char *name, *json;
};
#define DISTS "[\"uniform\",\"normal\",\"tiny\",\"constant\"]"
static const struct fixture_task fixture_tasks[] = {
    {"relu",
     "{\"id\":19,\"level\":1,\"name\":\"relu\",\"title\":\"19_ReLU\",\"family\":\"elementwise\","
     "\"sizes\":{\"cpu\":{\"n\":200003},\"hidden\":{\"n\":1237}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":" DISTS "},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"8*n\",\"flops\":\"n\","
     "\"body\":\"    for (int i = 0; i < n; i++) {\\n        if (x[i] > 0.0f)\\n            y[i] = x[i];\\n        "
     "else\\n            y[i] = 0.0f;\\n    }\"}"},
    {"row_sum",
     "{\"id\":47,\"level\":1,\"name\":\"row_sum\",\"title\":\"47_Sum\",\"family\":\"reduction\","
     "\"sizes\":{\"cpu\":{\"m\":256,\"n\":1000},\"hidden\":{\"m\":7,\"n\":13}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"dist\":" DISTS "},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"m\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"4*m*n+4*m\",\"flops\":\"m*n\","
     "\"body\":\"    for (int i = 0; i < m; i++) {\\n        float s = 0.0f;\\n        for (int j = 0; j < n; "
     "j++)\\n            s += x[i * n + j];\\n        y[i] = s;\\n    }\","
     "\"tuned\":\"    for (int i = 0; i < m; i++) {\\n        float s = 0.0f;\\n#pragma omp simd reduction(+ : s)\\n"
     "        for (int j = 0; j < n; j++)\\n            s += x[i * n + j];\\n        y[i] = s;\\n    }\"}"},
    {"matmul",
     "{\"id\":1,\"level\":1,\"name\":\"matmul\",\"title\":\"1_Matmul\",\"family\":\"matmul\","
     "\"sizes\":{\"cpu\":{\"m\":96,\"n\":96,\"k\":96}},"
     "\"arrays\":[{\"name\":\"a\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"k\"],\"dist\":[\"uniform\","
     "\"normal\"]},"
     "{\"name\":\"b\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"k\",\"n\"],\"dist\":[\"uniform\",\"normal\"]},"
     "{\"name\":\"c\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"4*(m*k+k*n+m*n)\",\"flops\":\"2*m*n*k\","
     "\"body\":\"    for (int i = 0; i < m; i++)\\n        for (int j = 0; j < n; j++) {\\n            float s = "
     "0.0f;\\n            for (int p = 0; p < k; p++)\\n                s += a[i * k + p] * b[p * n + j];\\n           "
     " "
     "c[i * n + j] = s;\\n        }\"}"},
    {"mse_loss",
     "{\"id\":94,\"level\":1,\"name\":\"mse_loss\",\"title\":\"94_MSELoss\",\"family\":\"loss\","
     "\"sizes\":{\"cpu\":{\"n\":150000}},"
     "\"arrays\":[{\"name\":\"p\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\",\"normal\","
     "\"needle\",\"offset\"]},"
     "{\"name\":\"t\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\",\"normal\",\"needle\","
     "\"offset\"]},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"1\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"8*n\",\"flops\":\"3*n\","
     "\"body\":\"    float s = 0.0f;\\n    for (int i = 0; i < n; i++) {\\n        float d = p[i] - t[i];\\n        s "
     "+= d * d;\\n    }\\n    y[0] = s / (float)n;\"}"},
    {"argmax", "{\"id\":51,\"level\":1,\"name\":\"argmax\",\"title\":\"51_Argmax\",\"family\":\"reduction\","
               "\"sizes\":{\"cpu\":{\"m\":200,\"n\":700}},"
               "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"dist\":["
               "\"uniform\",\"normal\"]},"
               "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"i64\",\"shape\":[\"m\"],\"compare\":\"first_index\"}],"
               "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"4*m*n+8*m\",\"flops\":\"m*n\","
               "\"body\":\"    for (int i = 0; i < m; i++) {\\n        int best = 0;\\n        for (int j = 1; j < n; "
               "j++)\\n        "
               "    if (x[i * n + j] > x[i * n + best])\\n                best = j;\\n        y[i] = best;\\n    }\"}"},
    {"softmax",
     "{\"id\":23,\"level\":1,\"name\":\"softmax\",\"title\":\"23_Softmax\",\"family\":\"softmax\","
     "\"sizes\":{\"cpu\":{\"m\":64,\"n\":512}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"dist\":[\"uniform\","
     "\"normal\"]},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"compare\":\"bound\"}],"
     "\"scalars\":[{\"name\":\"scale\",\"type\":\"f32\",\"value\":1.5}],\"rtol\":3e-5,\"atol\":1e-7,\"bytes\":\"8*m*"
     "n\",\"flops\":\"5*m*n\","
     "\"body\":\"    for (int i = 0; i < m; i++) {\\n        float top = x[i * n];\\n        for (int j = 1; j < n; "
     "j++)\\n            top = fmaxf(top, x[i * n + j]);\\n        float s = 0.0f;\\n        for (int j = 0; j < n; "
     "j++) "
     "{\\n            y[i * n + j] = expf(scale * (x[i * n + j] - top));\\n            s += y[i * n + j];\\n        "
     "}\\n        for "
     "(int j = 0; j < n; j++)\\n            y[i * n + j] = y[i * n + j] / s;\\n    }\"}"},
    {"cumsum",
     "{\"id\":89,\"level\":1,\"name\":\"cumsum\",\"title\":\"89_Cumsum\",\"family\":\"scan\","
     "\"sizes\":{\"cpu\":{\"n\":2000},\"hidden\":{\"n\":77}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\",\"normal\"]"
     "},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"8*n\",\"flops\":\"n\","
     "\"body\":\"    for (int i = 0; i < n; i++) {\\n        float s = 0.0f;\\n        for (int j = 0; j <= i; j++)\\n"
     "            s += x[j];\\n        y[i] = s;\\n    }\"}"},
    {"rms_norm",
     "{\"id\":36,\"level\":1,\"name\":\"rms_norm\",\"title\":\"36_RMSNorm\",\"family\":\"norm\","
     "\"sizes\":{\"cpu\":{\"m\":200,\"n\":512}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"dist\":" DISTS "},"
     "{\"name\":\"w\",\"role\":\"weight\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\"]},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"compare\":\"bound\"}],"
     "\"scalars\":[{\"name\":\"eps\",\"type\":\"f32\",\"value\":1e-5}],\"rtol\":0,\"atol\":0,\"bytes\":\"8*m*n+4*n\","
     "\"flops\":\"4*m*n\","
     "\"body\":\"    for (int i = 0; i < m; i++) {\\n        float s = 0.0f;\\n        for (int j = 0; j < n; j++)\\n"
     "            s += x[i * n + j] * x[i * n + j];\\n        for (int j = 0; j < n; j++)\\n            y[i * n + j] = "
     "x[i * n + j] / sqrtf(s / (float)n + eps) * w[j];\\n    }\"}"},
    {"decay", "{\"id\":33,\"level\":1,\"name\":\"decay\",\"title\":\"33_Decay\",\"family\":\"norm\","
              "\"sizes\":{\"cpu\":{\"n\":100000}},"
              "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\","
              "\"normal\"]},"
              "{\"name\":\"r\",\"role\":\"state\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"normal\"],"
              "\"compare\":\"bound\"},"
              "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"compare\":\"bound\"}],"
              "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"16*n\",\"flops\":\"3*n\","
              "\"body\":\"    for (int i = 0; i < n; i++)\\n        r[i] = 0.9f * r[i] + 0.1f * x[i];\\n    for (int i "
              "= 0; i < n; "
              "i++)\\n        y[i] = r[i];\"}"},
    {"row_max",
     "{\"id\":49,\"level\":1,\"name\":\"row_max\",\"title\":\"49_Max\",\"family\":\"reduction\","
     "\"sizes\":{\"cpu\":{\"m\":200,\"n\":700}},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"m\",\"n\"],\"dist\":["
     "\"uniform\",\"normal\"]},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"m\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"4*m*n+4*m\",\"flops\":\"m*n\","
     "\"body\":\"    for (int i = 0; i < m; i++) {\\n        float top = x[i * n];\\n        for (int j = 1; j < n; "
     "j++)\\n            top = fmaxf(top, x[i * n + j]);\\n        y[i] = top;\\n    }\"}"},
    {"elu", "{\"id\":31,\"level\":1,\"name\":\"elu\",\"title\":\"31_ELU\",\"family\":\"elementwise\","
            "\"sizes\":{\"cpu\":{\"n\":60013}},"
            "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"dist\":[\"uniform\","
            "\"normal\",\"wide\"]},"
            "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\"],\"compare\":\"bound\"}],"
            "\"scalars\":[],\"rtol\":3e-5,\"atol\":1e-7,\"bytes\":\"8*n\",\"flops\":\"n\","
            "\"body\":\"    for (int i = 0; i < n; i++)\\n        y[i] = x[i] > 0.0f ? x[i] : expm1f(x[i]);\"}"},
    {"conv",
     "{\"id\":67,\"level\":1,\"name\":\"conv\",\"title\":\"67_Conv1D\",\"family\":\"convolution\","
     "\"sizes\":{\"cpu\":{\"n\":60,\"m\":1001}},\"range\":{\"m\":[3,100000]},"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"n\",\"1\",\"m\"],\"dist\":["
     "\"uniform\",\"normal\"]},"
     "{\"name\":\"g\",\"role\":\"weight\",\"dtype\":\"f32\",\"shape\":[\"1\",\"1\",\"3\"],\"dist\":["
     "\"kaiming\",\"normal\"],\"fan_in\":\"3\"},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"n\",\"1\",\"m - 2\"],"
     "\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"k\":16,\"bytes\":\"8*n*m\",\"flops\":\"6*n*m\","
     "\"body\":\"    for (int i = 0; i < n; i++)\\n        for (int j = 0; j < m - 2; j++) {\\n            float s = "
     "0.0f;\\n            for (int k = 0; k < 3; k++)\\n                s += x[i * m + j + k] * g[k];\\n            "
     "y[i * (m - 2) + j] = s;\\n        }\"}"},
    {"min_dim1",
     "{\"id\":53,\"level\":1,\"name\":\"min_dim1\",\"title\":\"53_Min\",\"family\":\"reduction\","
     "\"sizes\":{\"cpu\":{\"b\":3,\"m\":131,\"n\":181}},\"size_order\":[\"b\",\"n\",\"m\"],"
     "\"arrays\":[{\"name\":\"x\",\"role\":\"in\",\"dtype\":\"f32\",\"shape\":[\"b\",\"n\",\"m\"],\"dist\":["
     "\"uniform\",\"normal\",\"ties\"]},"
     "{\"name\":\"y\",\"role\":\"out\",\"dtype\":\"f32\",\"shape\":[\"b\",\"m\"],\"compare\":\"bound\"}],"
     "\"scalars\":[],\"rtol\":0,\"atol\":0,\"bytes\":\"4*b*m*n+4*b*m\",\"flops\":\"b*m*n\","
     "\"body\":\"    for (int t = 0; t < b; t++)\\n        for (int j = 0; j < m; j++) {\\n            float min = x[t "
     "* n * m + j];\\n            for (int i = 1; i < n; i++)\\n                min = fminf(min, x[(t * n + i) * m + "
     "j]);\\n            y[t * m + j] = min;\\n        }\"}"},
};

static inline vt_task *fixture_task(const char *name)
{
    vt_err err;
    vt_task *t = NULL;
    for (size_t i = 0; i < sizeof fixture_tasks / sizeof fixture_tasks[0]; i++)
        if (strcmp(fixture_tasks[i].name, name) == 0)
            CHECK_OK(vt_task_parse(fixture_tasks[i].json, strlen(fixture_tasks[i].json), &t, &err), err);
    return t;
}

/* A verdict with its strings copied, so that tests can look at it after the callback. */
struct fixture_result {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
    vt_status status;
    vt_err err;
    vt_verdict v;
    char feedback[1024];
    char *json;
};

static inline void fixture_done(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct fixture_result *r = arg;
    pthread_mutex_lock(&r->lock);
    r->status = status;
    if (err)
        r->err = *err;
    if (v) {
        r->v = *v;
        snprintf(r->feedback, sizeof r->feedback, "%s", v->feedback);
        r->json = strdup(v->json);
    }
    r->is_done = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static inline void fixture_result_init(struct fixture_result *r)
{
    memset(r, 0, sizeof *r);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
}

static inline void fixture_wait(struct fixture_result *r)
{
    pthread_mutex_lock(&r->lock);
    while (!r->is_done)
        pthread_cond_wait(&r->cond, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static inline void fixture_result_free(struct fixture_result *r)
{
    free(r->json);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->cond);
}

static inline void fixture_judge(vt_eval *e, vt_task *t, const char *code, struct vt_eval_request r,
                                 struct fixture_result *out)
{
    vt_err err;
    fixture_result_init(out);
    r.task = t;
    r.code = code;
    r.code_len = strlen(code);
    vt_status s = vt_eval_submit(e, &r, fixture_done, out, &err);
    CHECK_OK(s, err);
    if (s == VT_OK)
        fixture_wait(out);
}

/* main of a program whose cases share one evaluator. */
static inline int fixture_main(const struct test_case *cases, size_t n_cases, int n_build, vt_eval **eval, int argc,
                               char **argv)
{
    vt_err err;
    struct vt_eval_opts o = {.n_build = n_build};
    if (vt_eval_open(&o, eval, &err) != VT_OK) {
        printf("FAIL open: %s\n0 passed, 1 failed\n", err.msg);
        return 1;
    }
    int rc = test_main(cases, n_cases, argc, argv);
    vt_eval_close(*eval);
    return rc;
}

#endif
