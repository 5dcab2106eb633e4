/* --function limited_level --shape x=n --shape y=n --size n=60000 */
void limited_level(const int *x, int *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] > 100000 ? 100000 : x[i] < -100000 ? -100000 : x[i];
}
/* ==== right ==== */
    for (int i = 0; i < n; i++) {
        int v = x[i] < 100000 ? x[i] : 100000;
        y[i] = v > -100000 ? v : -100000;
    }
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = x[i] + 0 * n;
