/* --function rows --shape x=n --size n=1000 */
void rows(float **x, float *y, int n) { for (int i = 0; i < n; i++) y[i] = x[i][0]; }
/* ==== refused: parameter 'x' of rows is a `float **`; arrays must be flat ==== */
