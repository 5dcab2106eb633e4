/* --function evaluate --shape c=degree --shape x=n --shape y=n --size degree=12 --size n=3000 */
void evaluate(const double *restrict c, const double *restrict x, double *restrict y, long degree, long n)
{
    for (long i = 0; i < n; i++) {
        double v = 0;
        for (long k = degree - 1; k >= 0; k--)
            v = v * x[i] + c[k];
        y[i] = v;
    }
}
/* ==== right ==== */
    for (long i = 0; i < n; i++)
        y[i] = 0;
    for (long k = degree - 1; k >= 0; k--)
        for (long i = 0; i < n; i++)
            y[i] = y[i] * x[i] + c[k];
/* ==== wrong ==== */
    for (long i = 0; i < n; i++) {
        double v = 0;
        for (long k = degree - 1; k > 0; k--)
            v = v * x[i] + c[k];
        y[i] = v + c[0];
    }
