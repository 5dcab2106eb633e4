/* SPDX-License-Identifier: Apache-2.0
 *
 * compat.cuh: the builtins of gcc that the value-and-error type (eval/truth_prelude.c) is written in, for NVRTC.
 */
#ifdef __CUDACC_RTC__
#define __builtin_exp(x) ::exp((double)(x))
#define __builtin_exp2(x) ::exp2((double)(x))
#define __builtin_expm1(x) ::expm1((double)(x))
#define __builtin_log(x) ::log((double)(x))
#define __builtin_log2(x) ::log2((double)(x))
#define __builtin_log10(x) ::log10((double)(x))
#define __builtin_log1p(x) ::log1p((double)(x))
#define __builtin_tanh(x) ::tanh((double)(x))
#define __builtin_sinh(x) ::sinh((double)(x))
#define __builtin_cosh(x) ::cosh((double)(x))
#define __builtin_sin(x) ::sin((double)(x))
#define __builtin_cos(x) ::cos((double)(x))
#define __builtin_tan(x) ::tan((double)(x))
#define __builtin_atan(x) ::atan((double)(x))
#define __builtin_cbrt(x) ::cbrt((double)(x))
#define __builtin_erf(x) ::erf((double)(x))
#define __builtin_erfc(x) ::erfc((double)(x))
#define __builtin_floor(x) ::floor((double)(x))
#define __builtin_ceil(x) ::ceil((double)(x))
#define __builtin_trunc(x) ::trunc((double)(x))
#define __builtin_round(x) ::round((double)(x))
#define __builtin_rint(x) ::rint((double)(x))
#define __builtin_nearbyint(x) ::nearbyint((double)(x))
#define __builtin_fabs(x) ::fabs((double)(x))
#define __builtin_sqrt(x) ::sqrt((double)(x))
#define __builtin_pow(x, y) ::pow((double)(x), (double)(y))
#define __builtin_fmod(x, y) ::fmod((double)(x), (double)(y))
#define __builtin_copysign(x, y) ::copysign((double)(x), (double)(y))
#define __builtin_atan2(x, y) ::atan2((double)(x), (double)(y))
#define __builtin_signbit(x) (__double_as_longlong((double)(x)) < 0)
#define __builtin_isinf(x) ((x) == (x) && !((x) - (x) == 0))
#define __builtin_isfinite(x) ((x) - (x) == 0)
#define __builtin_inff() __int_as_float(0x7f800000)
#define __builtin_nanf(x) __int_as_float(0x7fc00000)
#define __FLT_MAX__ 0x1.fffffep127f
#define __FLT_MIN__ 0x1p-126f
#define __FLT_EPSILON__ 0x1p-23f
#define __INT_MAX__ 2147483647
#endif
/* Named as the run-time compiler names them, whatever the macros below make of `float`. */
typedef float vt_f32;
__device__ static inline double vt_sqrt(double x)
{
    return __builtin_sqrt(x);
}
