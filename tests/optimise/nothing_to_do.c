/* --function energy --shape x=n --size n=4000 */
double energy(const double *x, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += x[i] * x[i];
    return s;
}
/* ==== right ==== */
    double a = 0, b = 0;
    int i = 0;
    for (; i + 1 < n; i += 2) {
        a += x[i] * x[i];
        b += x[i + 1] * x[i + 1];
    }
    return i < n ? a + b + x[i] * x[i] : a + b;
/* ==== wrong ==== */
    double s = 1;
    for (int i = 0; i < n; i++)
        s = i == 0 ? x[i] * x[i] : s + x[i] * x[i];
    return s;
