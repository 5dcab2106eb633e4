/* --function turned --shape x=n --shape y=n --size n=50000 */
void turned(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[n - 1 - i];
}
/* ==== right ==== */
    for (int i = n - 1; i >= 0; i--)
        y[n - 1 - i] = x[i];
/* ==== wrong ==== */
    float t[50000];
    for (int i = 0; i < n && i < 50000; i++)
        t[i] = x[n - 1 - i];
    for (int i = 0; i < n; i++)
        y[i] = i < 50000 ? t[i] : 0;
