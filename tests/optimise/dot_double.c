/* --function dot --shape x=n --shape y=n --size n=30000 */
double dot(const double *x, const double *y, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += x[i] * y[i];
    return s;
}
/* ==== right ==== */
    double s[8] = {0}, t = 0;
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            s[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        t += x[i] * y[i];
    return t + ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
/* ==== wrong ==== */
    float s = 0;
    for (int i = 0; i < n; i++)
        s += (float)x[i] * (float)y[i];
    return s;
