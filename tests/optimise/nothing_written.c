/* --function f --shape x=n --size n=1000 */
void f(const float *x, int n) { float s = 0; for (int i = 0; i < n; i++) s += x[i]; (void)s; }
/* ==== refused: f has no output ==== */
