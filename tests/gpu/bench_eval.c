/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_eval.c: what a verdict of the cuda tier costs: bench_eval TASKS.jsonl [full] [search] (none = both).
 *
 *   full     seconds per candidate (protocol fast: compile, check, time) for tasks 4, 28, 47, 12, 89 at the benchmark's
 *            own sizes, of kernels written for speed; the task is ready, as it is from the second candidate on; what
 *            making it ready took is printed, too. With its speedup over the shown text.
 *   search   candidates a second at the search sizes, the twenty evaluation tasks mixed, compiled on all cores
 */
#include "eval_tools.h"

static const int evaluation[] = {4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98};
enum { N_EVALUATION = sizeof evaluation / sizeof evaluation[0], REPEATS = 3, VARIANTS = 10 };

static const struct {
    int task;
    const char *code;
} tuned[] = {
    {28, "// launch k grid(ceil_div(n, 1024)) block(256) args(x, y, n)\n"
         "__device__ float f(float x) { return fminf(fmaxf((x + 3.0f) * (1.0f / 6.0f), 0.0f), 1.0f); }\n"
         "extern \"C\" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int n)\n{\n"
         "    int i = (blockIdx.x * 256 + threadIdx.x) * 4;\n"
         "    if (i + 3 < n) {\n"
         "        float4 v = *(const float4 *)(x + i);\n"
         "        *(float4 *)(y + i) = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));\n"
         "    } else {\n"
         "        for (; i < n; i++)\n            y[i] = f(x[i]);\n    }\n}\n"},
    {47, "// launch k grid(ceil_div(m, 32), b) block(32, 16) args(x, y, n, m)\n"
         "extern \"C\" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int n, int m)\n{\n"
         "    __shared__ float part[16][33];\n"
         "    int j = blockIdx.x * 32 + threadIdx.x;\n    long long t = blockIdx.y;\n    float sum = 0.0f;\n"
         "    if (j < m) {\n#pragma unroll 8\n"
         "        for (int i = threadIdx.y; i < n; i += 16)\n            sum += x[(t * n + i) * m + j];\n    }\n"
         "    part[threadIdx.y][threadIdx.x] = sum;\n    __syncthreads();\n"
         "    if (threadIdx.y == 0 && j < m) {\n"
         "        for (int k = 1; k < 16; k++)\n            sum += part[k][threadIdx.x];\n"
         "        y[t * m + j] = sum;\n    }\n}\n"},
    {4,
     "// launch k grid(m) block(512) args(a, x, y, k)\n"
     "extern \"C\" __global__ void k(const float *__restrict__ a, const float *__restrict__ x, float *__restrict__ y, "
     "int k)\n"
     "{\n    __shared__ float part[16];\n    const float *row = a + (long long)blockIdx.x * k;\n    float sum = 0.0f;\n"
     "    if (k % 4 == 0) {\n#pragma unroll 4\n"
     "        for (int p = threadIdx.x * 4; p < k; p += 2048) {\n"
     "            float4 u = *(const float4 *)(row + p), v = *(const float4 *)(x + p);\n"
     "            sum += u.x * v.x + u.y * v.y + u.z * v.z + u.w * v.w;\n        }\n"
     "    } else {\n        for (int p = threadIdx.x; p < k; p += 512)\n            sum += row[p] * x[p];\n    }\n"
     "    for (int s = 16; s > 0; s /= 2)\n        sum += __shfl_down_sync(0xffffffffu, sum, s);\n"
     "    if (threadIdx.x % 32 == 0)\n        part[threadIdx.x / 32] = sum;\n    __syncthreads();\n"
     "    if (threadIdx.x == 0) {\n        for (int i = 1; i < 16; i++)\n            sum += part[i];\n"
     "        y[blockIdx.x] = sum;\n    }\n}\n"},
    {12, "// launch k grid(ceil_div(m, 256), n) block(256) args(a, b, c, m)\n"
         "extern \"C\" __global__ void k(const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ "
         "c, int m)\n"
         "{\n    int j = blockIdx.x * 256 + threadIdx.x, i = blockIdx.y;\n"
         "    if (j < m)\n        c[i * m + j] = a[i] * b[i * m + j];\n}\n"},
    {89,
     "// launch k grid(n) block(256) args(x, y, m)\n"
     "extern \"C\" __global__ void k(const float *__restrict__ x, float *__restrict__ y, int m)\n{\n"
     "    __shared__ float warp[8];\n    __shared__ float total;\n"
     "    const float *row = x + (long long)blockIdx.x * m;\n    float *out = y + (long long)blockIdx.x * m;\n"
     "    float carry = 0.0f;\n    int lane = threadIdx.x % 32, w = threadIdx.x / 32;\n"
     "    for (int base = 0; base < m; base += 1024) {\n"
     "        int j = base + threadIdx.x * 4;\n        float v[4], own = 0.0f;\n"
     "        if (m % 4 == 0 && j + 3 < m) {\n            float4 q = *(const float4 *)(row + j);\n"
     "            v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;\n        } else {\n"
     "            for (int k = 0; k < 4; k++)\n                v[k] = j + k < m ? row[j + k] : 0.0f;\n        }\n"
     "        for (int k = 0; k < 4; k++)\n            v[k] = own += v[k];\n"
     "        float scan = own;\n        for (int s = 1; s < 32; s *= 2) {\n"
     "            float o = __shfl_up_sync(0xffffffffu, scan, s);\n            if (lane >= s)\n                scan += "
     "o;\n        }\n"
     "        if (lane == 31)\n            warp[w] = scan;\n        __syncthreads();\n"
     "        float before = __shfl_up_sync(0xffffffffu, scan, 1);\n        before = (lane ? before : 0.0f) + carry;\n"
     "        for (int i = 0; i < w; i++)\n            before += warp[i];\n"
     "        if (threadIdx.x == 255)\n            total = before + own;\n"
     "        if (m % 4 == 0 && j + 3 < m)\n"
     "            *(float4 *)(out + j) = make_float4(before + v[0], before + v[1], before + v[2], before + v[3]);\n"
     "        else\n            for (int k = 0; k < 4; k++)\n                if (j + k < m)\n                    out[j "
     "+ k] = before + v[k];\n"
     "        __syncthreads();\n        carry = total;\n        __syncthreads();\n    }\n}\n"},
};

/* The same code to a reader, another text to every cache: a value that is never used. */
static void variant(const char *code, int number, char *out, size_t n)
{
    snprintf(out, n, "__device__ const int vt_variant_%d = %d;\n%s", number, number, code);
}

static void full(vt_eval *e, const struct tasks *all, const char *scale)
{
    char code[8192];
    struct answer a;
    printf("seconds per candidate, protocol fast, scale %s\n%5s %-18s %9s %9s %9s %9s  %s\n", scale, "task", "name",
           "ready", "best", "median", "candidate", "speedup over the shown text");
    for (size_t i = 0; i < sizeof tuned / sizeof tuned[0]; i++) {
        vt_task *t = task_of(all, tuned[i].task);
        double took[REPEATS];
        if (!t)
            continue;
        double from = now_s();
        variant(tuned[i].code, 0, code, sizeof code);
        judge(e, t, code, scale, true, &a);
        const double ready = now_s() - from;
        if (a.status != VT_OK || !a.v.correct) {
            printf("%5d %-18s %s: %.300s\n", tuned[i].task, vt_task_name(t), outcome(&a),
                   a.status == VT_OK ? a.feedback : "");
            continue;
        }
        for (int r = 0; r < REPEATS; r++) {
            variant(tuned[i].code, r + 1, code, sizeof code);
            from = now_s();
            judge(e, t, code, scale, false, &a);
            took[r] = now_s() - from;
        }
        for (int r = 1; r < REPEATS; r++)
            for (int k = r; k > 0 && took[k] < took[k - 1]; k--) {
                double swap = took[k];
                took[k] = took[k - 1];
                took[k - 1] = swap;
            }
        printf("%5d %-18s %8.2fs %8.3fs %8.3fs %7.0fus  %.2fx (%.2f to %.2f), %s, %.0f %% of the floor\n",
               tuned[i].task, vt_task_name(t), ready, took[0], took[REPEATS / 2], a.v.runtime_us, a.v.speedup,
               a.v.speedup_lo, a.v.speedup_hi, outcome(&a), 100 * a.v.roofline);
    }
}

static void search(vt_eval *e, const struct tasks *all, const char *scale)
{
    static struct answer a[N_EVALUATION * VARIANTS];
    static double ready[N_EVALUATION];
    struct waiting w;
    char *text[N_EVALUATION], code[16384];
    int n = 0, n_right = 0;
    vt_err err = {0};
    printf("candidates a second at scale %s\n", scale);
    for (int k = 0; k < N_EVALUATION; k++) {
        vt_task *t = task_of(all, evaluation[k]);
        text[k] = NULL;
        if (!t || vt_eval_prompt("cuda", t, NULL, &text[k], &err) != VT_OK)
            continue;
        const double from = now_s();
        judge(e, t, text[k], scale, true, &a[0]);
        ready[k] = now_s() - from;
        printf("  %3d %-22s ready after %.2f s (%s, baseline check included)\n", evaluation[k], vt_task_name(t),
               ready[k], outcome(&a[0]));
    }
    waiting_init(&w);
    const double from = now_s();
    for (int v = 0; v < VARIANTS; v++)
        for (int k = 0; k < N_EVALUATION; k++) {
            vt_task *t = task_of(all, evaluation[k]);
            if (!text[k])
                continue;
            variant(text[k], 1000 * (v + 1) + k, code, sizeof code);
            n += submit(e, &w, t, code, scale, false, &a[n]);
        }
    wait_for(&w, n);
    const double took = now_s() - from;
    for (int i = 0; i < n; i++)
        n_right += a[i].status == VT_OK && a[i].v.correct;
    printf("  %d candidates, %d correct, in %.2f s: %.1f a second (checked and timed)\n", n, n_right, took, n / took);
    waiting_init(&w);
    int m = 0;
    const double again = now_s();
    for (int v = 0; v < VARIANTS; v++)
        for (int k = 0; k < N_EVALUATION; k++)
            if (text[k]) {
                variant(text[k], 100000 + 1000 * (v + 1) + k, code, sizeof code);
                m += submit(e, &w, task_of(all, evaluation[k]), code, scale, true, &a[m]);
            }
    wait_for(&w, m);
    printf("  %d candidates in %.2f s: %.1f a second (checked, not timed)\n", m, now_s() - again,
           m / (now_s() - again));
    for (int k = 0; k < N_EVALUATION; k++)
        free(text[k]);
}

int main(int argc, char **argv)
{
    static struct tasks all;
    vt_eval *e = NULL;
    vt_err err = {0};
    const struct vt_eval_opts o = {.tier = "cuda", .no_cache = true};
    if (argc < 2) {
        printf("usage: bench_eval TASKS.jsonl [full] [search]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_tasks(argv[1], &all);
    if (vt_eval_open(&o, &e, &err) != VT_OK) {
        printf("FAIL open: %s\n", err.msg);
        return 1;
    }
    printf("%s on %s, %d tasks\n", vt_eval_version(e), vt_eval_machine(e), all.n);
    const char *scale = getenv("SCALE");
    for (int i = argc > 2 ? 2 : 1; i < argc; i++) {
        const char *what = argc > 2 ? argv[i] : "";
        if (!*what || strcmp(what, "full") == 0)
            full(e, &all, scale ? scale : "full");
        if (!*what || strcmp(what, "search") == 0)
            search(e, &all, scale ? scale : "search");
    }
    vt_eval_close(e);
    return 0;
}
