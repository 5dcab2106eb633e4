/* --function f --shape x=n --size n=1000 */
void f(long double *x, int n) { for (int i = 0; i < n; i++) x[i] *= 2; }
/* ==== refused: `long double *` ==== */
