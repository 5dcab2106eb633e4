/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c: which instruction sets this machine runs, and the choice among them. avx512bf16 is the AVX-512
 * table with its own matrix product, amx has its own attention and backward products too. AMX needs the kernel's
 * permission for the tile state, asked for once per process (arch_prctl); without it the machine counts as avx512bf16.
 *
 * Circle: the table of kernels that this file chooses from names gemm_bf16, gemm_amx, attention_amx, backward_amx,
 * kernels_c, kernels_avx2 and kernels_avx512, and those fall back on small helpers that stand beside the choice.
 */
#include "cpu/kernels.h"

#include "cpu/kernels_isa.h"
#include "cpu/layout.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static struct vt_kernels tables[5];
static int n_tables;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
static bool has_avx512_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
}

static bool has_amx(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & (1u << 22)) || !(d & (1u << 24)) || !(d & (1u << 25)))
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

static void tables_find(void)
{
    tables[n_tables++] = vt_kernels_c;
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return;
    tables[n_tables++] = vt_kernels_avx2;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return;
    tables[n_tables++] = vt_kernels_avx512;
    if (!has_avx512_bf16())
        return;
    struct vt_kernels *bf16 = &tables[n_tables++], *amx = bf16 + 1;
    *bf16 = vt_kernels_avx512;
    bf16->name = "avx512bf16";
    bf16->has_bf16 = true;
    vt_kernels_bf16_gemm(bf16);
    if (!has_amx())
        return;
    *amx = *bf16;
    amx->name = "amx";
    vt_kernels_amx_gemm(amx);
    vt_kernels_amx_attention(amx);
    vt_kernels_amx_backward(amx);
    n_tables++;
#endif
}

const struct vt_kernels *vt_kernels_at(int i)
{
    pthread_once(&tables_once, tables_find);
    return i >= 0 && i < n_tables ? &tables[i] : NULL;
}

vt_status vt_kernels_pick(const char *isa, const struct vt_kernels **out, vt_err *err)
{
    pthread_once(&tables_once, tables_find);
    *out = &tables[n_tables - 1];
    if (!isa || !*isa)
        return VT_OK;
    char have[64] = "";
    size_t used = 0;
    for (int i = 0; i < n_tables; i++) {
        if (strcmp(tables[i].name, isa) == 0) {
            *out = &tables[i];
            return VT_OK;
        }
        int n = snprintf(have + used, sizeof have - used, "%s%s", i ? ", " : "", tables[i].name);
        used += n > 0 && (size_t)n < sizeof have - used ? (size_t)n : 0;
    }
    return vt_fail(err, VT_EUNSUPPORTED, "the instruction set \"%s\" cannot be used: this machine runs %s.", isa, have);
}

size_t vt_acts_row_bytes(int n_in)
{
    /* 4 bytes per element (fp32, or bf16 and two digits padded to 64) and 64 or more for scales. An odd multiple of 64
     * keeps rows of a power-of-two width out of one cache set. */
    size_t blocks = (size_t)vt_round_up(n_in, VT_BLOCK) / VT_BLOCK,
           n = blocks * VT_BLOCK * sizeof(float) + 128 + blocks / 32 * 64;
    return (n / 64 | 1) * 64;
}

size_t vt_query_bytes(int head_dim)
{
    return (size_t)vt_round_up(head_dim, VT_BLOCK) * sizeof(float);
}

void vt_range_split(int n, int step, int thread, int n_threads, int *begin, int *end)
{
    long n_steps = (n + step - 1) / step;
    long b = n_steps * thread / n_threads * step, e = n_steps * (thread + 1) / n_threads * step;
    *begin = b < n ? (int)b : n;
    *end = e < n ? (int)e : n;
}
