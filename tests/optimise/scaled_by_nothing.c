/* --function gemv --shape a=m,n --shape x=n --shape y=m --size m=60 --size n=60 --value alpha=1 --value beta=0 */
void gemv(int m, int n, double alpha, const double *a, const double *x, double beta, double *y)
{
    for (int i = 0; i < m; i++) {
        double s = 0;
        for (int j = 0; j < n; j++)
            s += a[i * n + j] * x[j];
        y[i] = alpha * s + beta * y[i];
    }
}
/* ==== right ==== */
    for (int i = 0; i < m; i++) {
        double s = 0;
        for (int j = n - 1; j >= 0; j--)
            s += a[i * n + j] * x[j];
        y[i] = beta * y[i] + alpha * s;
    }
/* ==== wrong ==== */
    for (int i = 0; i < m; i++) {
        double s = 0;
        for (int j = 0; j < n; j++)
            s += a[i * n + j] * x[j];
        y[i] = s;
    }
