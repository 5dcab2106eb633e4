/* --function f --shape x=n --size n=1000 */
extern float factor;
void f(float *x, int n) { for (int i = 0; i < n; i++) x[i] *= factor; }
/* ==== refused: f needs `factor` ==== */
