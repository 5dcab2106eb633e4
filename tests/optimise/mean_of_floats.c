/* --function average --shape x=n --size n=40000 */
/* Floats, added in double. */
double average(const float *x, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += x[i];
    return s / n;
}
/* ==== right ==== */
    double s[4] = {0};
    for (int i = 0; i < n; i++)
        s[i & 3] += x[i];
    return (s[0] + s[1] + s[2] + s[3]) / n;
/* ==== wrong ==== */
    float s = 0;
    for (int i = 0; i < n; i++)
        s += x[i];
    return s / n;
