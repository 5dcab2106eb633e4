/* --function twice_f --shape x=n --size n=1000 */
#define MAKE(name, by) void name##_f(float *x, int n) { for (int i = 0; i < n; i++) x[i] *= by; }
MAKE(twice, 2)
MAKE(thrice, 3)
/* ==== refused: outside of macros ==== */
