/* --function same --shape x=n --size n=1000 */
float *same(float *x, int n) { for (int i = 0; i < n; i++) x[i] += 1; return x; }
/* ==== refused: what same returns is a `float *` ==== */
