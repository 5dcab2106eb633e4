/* --function f --shape x=n --size n=1000 */
void f(int n, int m, float (*x)[m]) { for (int i = 0; i < n; i++) x[i][0] += 1; }
/* ==== refused: points to rows whose length is a parameter ==== */
