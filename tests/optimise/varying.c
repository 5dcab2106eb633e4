/* --function f --shape x=n --size n=1000 */
void f(float *x, int n, ...) { for (int i = 0; i < n; i++) x[i] += 1; }
/* ==== refused: takes a varying number of arguments ==== */
