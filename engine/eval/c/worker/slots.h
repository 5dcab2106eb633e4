/* SPDX-License-Identifier: Apache-2.0
 *
 * slots.h: the functions outside itself that a kernel may call: mathematics, memory and strings, sorting, the heap, and
 * what compilers call on their own (complex and wide arithmetic, half precision, stack protection, which processor
 * this is). Printing is among them, for branches that are never taken: see slots.c. The linker knows them by these
 * names and numbers, in the order of strcmp; slots.c has their addresses in the worker. A kernel that names anything
 * else is not linked: whatever talks to the system would be ended by the filter in any case, and is told so before it
 * runs.
 */
#ifndef VT_EVAL_C_WORKER_SLOTS_H
#define VT_EVAL_C_WORKER_SLOTS_H

#include <stdint.h>

#if defined(__x86_64__)
#define VT_X86(X, name) X(name)
#else
#define VT_X86(X, name)
#endif

/* clang-format off */
#define VT_SLOTS(X) \
    X(_Exit) X(__addtf3) X(__ashlti3) X(__ashrti3) X(__assert_fail) X(__bswapdi2) X(__bswapsi2) X(__chk_fail)         \
    X(__clzdi2) X(__clzti2) VT_X86(X, __cpu_features2) VT_X86(X, __cpu_indicator_init) VT_X86(X, __cpu_model)         \
    X(__ctzdi2) X(__ctzti2) X(__divdc3) X(__divmodti4) X(__divsc3) X(__divtf3) X(__divti3) VT_X86(X, __divxc3)        \
    X(__eqtf2) X(__errno_location) X(__extenddftf2) X(__extendhfsf2) X(__extendhftf2) X(__extendsftf2)                \
    VT_X86(X, __extendxftf2) X(__ffsdi2) X(__finite) X(__finitef) X(__finitel) X(__fixdfti) X(__fixsfti)              \
    X(__fixtfdi) X(__fixtfsi) X(__fixunsdfti) X(__fixunssfti) X(__fixunstfdi) X(__floatditf) X(__floatsitf)           \
    X(__floattidf) X(__floattisf) X(__floatunditf) X(__floatunsitf) X(__floatuntidf) X(__floatuntisf)                 \
    X(__fpclassify) X(__fpclassifyf) X(__fpclassifyl) X(__fprintf_chk) X(__getf2) X(__gttf2) X(__isinf) X(__isinff)   \
    X(__isinfl) X(__isnan) X(__isnanf) X(__isnanl) X(__letf2) X(__longjmp_chk) X(__lshrti3) X(__lttf2)                \
    X(__memcpy_chk) X(__memmove_chk) X(__mempcpy_chk) X(__memset_chk) X(__modti3) X(__muldc3) X(__mulsc3)             \
    X(__multf3) X(__multi3) VT_X86(X, __mulxc3) X(__negtf2) X(__netf2) X(__paritydi2) X(__popcountdi2)                \
    X(__popcountti2) X(__powidf2) X(__powisf2) VT_X86(X, __powixf2) X(__printf_chk) X(__signbit) X(__signbitf)        \
    X(__signbitl) X(__sigsetjmp) X(__stack_chk_fail) X(__stpcpy_chk) X(__strcat_chk) X(__strcpy_chk)                  \
    X(__strncat_chk) X(__strncpy_chk) X(__subtf3) X(__truncdfhf2) X(__truncsfhf2) X(__trunctfdf2) X(__trunctfhf2)     \
    X(__trunctfsf2) VT_X86(X, __trunctfxf2) VT_X86(X, __truncxfhf2) X(__udivmodti4) X(__udivti3) X(__umodti3)         \
    X(__unordtf2) X(__vfprintf_chk) X(_exit) X(_setjmp) X(abort) X(abs) X(acos) X(acosf) X(acosh) X(acoshf)           \
    X(acoshl) X(acosl) X(aligned_alloc) X(asin) X(asinf) X(asinh) X(asinhf) X(asinhl) X(asinl) X(atan) X(atan2)       \
    X(atan2f) X(atan2l) X(atanf) X(atanh) X(atanhf) X(atanhl) X(atanl) X(bcmp) X(bcopy) X(bsearch) X(bzero) X(cabs)   \
    X(cabsf) X(cabsl) X(cacos) X(cacosf) X(cacosl) X(calloc) X(carg) X(cargf) X(cargl) X(casin) X(casinf) X(casinl)   \
    X(catan) X(catanf) X(catanl) X(cbrt) X(cbrtf) X(cbrtl) X(ccos) X(ccosf) X(ccosh) X(ccoshf) X(ccoshl) X(ccosl)     \
    X(ceil) X(ceilf) X(ceill) X(cexp) X(cexpf) X(cexpl) X(cimag) X(cimagf) X(cimagl) X(clog) X(clogf) X(clogl)        \
    X(conj) X(conjf) X(conjl) X(copysign) X(copysignf) X(copysignl) X(cos) X(cosf) X(cosh) X(coshf) X(coshl) X(cosl)  \
    X(cpow) X(cpowf) X(cpowl) X(cproj) X(cprojf) X(cprojl) X(creal) X(crealf) X(creall) X(csin) X(csinf) X(csinh)     \
    X(csinhf) X(csinhl) X(csinl) X(csqrt) X(csqrtf) X(csqrtl) X(ctan) X(ctanf) X(ctanh) X(ctanhf) X(ctanhl) X(ctanl)  \
    X(div) X(drem) X(dremf) X(dreml) X(erf) X(erfc) X(erfcf) X(erfcl) X(erff) X(erfl) X(exit) X(exp) X(exp10)         \
    X(exp10f) X(exp10l) X(exp2) X(exp2f) X(exp2l) X(expf) X(expl) X(expm1) X(expm1f) X(expm1l) X(fabs) X(fabsf)       \
    X(fabsl) X(fdim) X(fdimf) X(fdiml) X(feclearexcept) X(fedisableexcept) X(feenableexcept) X(fegetenv)              \
    X(fegetexcept) X(fegetround) X(feholdexcept) X(feraiseexcept) X(fesetenv) X(fesetround) X(fetestexcept)           \
    X(feupdateenv) X(fflush) X(finite) X(finitef) X(finitel) X(floor) X(floorf) X(floorl) X(fma) X(fmaf) X(fmal)      \
    X(fmax) X(fmaxf) X(fmaxl) X(fmin) X(fminf) X(fminl) X(fmod) X(fmodf) X(fmodl) X(fprintf) X(fputc) X(fputs)        \
    X(free) X(frexp) X(frexpf) X(frexpl) X(fwrite) X(getenv) X(hypot) X(hypotf) X(hypotl) X(ilogb) X(ilogbf)          \
    X(ilogbl) X(isinf) X(isinff) X(isinfl) X(isnan) X(isnanf) X(isnanl) X(j0) X(j0f) X(j0l) X(j1) X(j1f) X(j1l)       \
    X(jn) X(jnf) X(jnl) X(labs) X(ldexp) X(ldexpf) X(ldexpl) X(ldiv) X(lgamma) X(lgamma_r) X(lgammaf) X(lgammaf_r)    \
    X(lgammal) X(lgammal_r) X(llabs) X(lldiv) X(llrint) X(llrintf) X(llrintl) X(llround) X(llroundf) X(llroundl)      \
    X(log) X(log10) X(log10f) X(log10l) X(log1p) X(log1pf) X(log1pl) X(log2) X(log2f) X(log2l) X(logb) X(logbf)       \
    X(logbl) X(logf) X(logl) X(longjmp) X(lrint) X(lrintf) X(lrintl) X(lround) X(lroundf) X(lroundl) X(malloc)        \
    X(memalign) X(memccpy) X(memchr) X(memcmp) X(memcpy) X(memmem) X(memmove) X(mempcpy) X(memrchr) X(memset)         \
    X(modf) X(modff) X(modfl) X(nan) X(nanf) X(nanl) X(nearbyint) X(nearbyintf) X(nearbyintl) X(nextafter)            \
    X(nextafterf) X(nextafterl) X(nexttoward) X(nexttowardf) X(nexttowardl) X(perror) X(posix_memalign) X(pow)        \
    X(powf) X(powl) X(printf) X(putc) X(putchar) X(puts) X(qsort) X(rand) X(rand_r) X(random) X(rawmemchr)            \
    X(realloc) X(reallocarray) X(remainder) X(remainderf) X(remainderl) X(remquo) X(remquof) X(remquol) X(rint)       \
    X(rintf) X(rintl) X(round) X(roundeven) X(roundevenf) X(roundevenl) X(roundf) X(roundl) X(scalbln) X(scalblnf)    \
    X(scalblnl) X(scalbn) X(scalbnf) X(scalbnl) X(setjmp) X(sin) X(sincos) X(sincosf) X(sincosl) X(sinf) X(sinh)      \
    X(sinhf) X(sinhl) X(sinl) X(snprintf) X(sprintf) X(sqrt) X(sqrtf) X(sqrtl) X(srand) X(srandom) X(stderr)          \
    X(stdout) X(stpcpy) X(stpncpy) X(strcat) X(strchr) X(strcmp) X(strcpy) X(strcspn) X(strlen) X(strncat)            \
    X(strncmp) X(strncpy) X(strnlen) X(strpbrk) X(strrchr) X(strspn) X(strstr) X(tan) X(tanf) X(tanh) X(tanhf)        \
    X(tanhl) X(tanl) X(tgamma) X(tgammaf) X(tgammal) X(trunc) X(truncf) X(truncl) X(vfprintf) X(vprintf)              \
    X(vsnprintf) X(y0) X(y0f) X(y0l) X(y1) X(y1f) X(y1l) X(yn) X(ynf) X(ynl)
/* clang-format on */

#define VT_SLOT_NUMBER(name) VT_SLOT_##name,
enum { VT_SLOTS(VT_SLOT_NUMBER) VT_N_SLOTS };
#undef VT_SLOT_NUMBER

/* Of the names in order: an image knows by it which table its numbers are of. */
static inline uint64_t vt_slots_digest(void)
{
#define VT_SLOT_TEXT(name) #name " "
    static const char names[] = VT_SLOTS(VT_SLOT_TEXT);
#undef VT_SLOT_TEXT
    uint64_t d = 0xcbf29ce484222325ull;
    for (const char *p = names; *p; p++)
        d = (d ^ (unsigned char)*p) * 0x100000001b3ull;
    return d;
}

#endif
