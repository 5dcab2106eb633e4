/* --function moments --shape x=n --shape mean=1 --shape var=1 --size n=30000 */
void moments(const float *x, int n, float *mean, float *var)
{
    double s = 0, q = 0;
    for (int i = 0; i < n; i++)
        s += x[i];
    *mean = (float)(s / n);
    for (int i = 0; i < n; i++)
        q += (x[i] - *mean) * (x[i] - *mean);
    *var = (float)(q / n);
}
/* ==== right ==== */
    double s[4] = {0}, q[4] = {0};
    for (int i = 0; i < n; i++)
        s[i & 3] += x[i];
    const float m = (float)((s[0] + s[1] + s[2] + s[3]) / n);
    for (int i = 0; i < n; i++)
        q[i & 3] += (x[i] - m) * (x[i] - m);
    *mean = m;
    *var = (float)((q[0] + q[1] + q[2] + q[3]) / n);
/* ==== wrong ==== */
    double s = 0, q = 0;
    for (int i = 0; i < n; i++)
        s += x[i];
    *mean = (float)(s / n);
    for (int i = 0; i < n; i++)
        q += x[i] * x[i];
    *var = (float)(q / n);
