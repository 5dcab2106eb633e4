/* --cflags -std=c89 --function steps --shape x=n --shape y=n --size n=60000 */
void steps(const short *x, short *y, int n)
{
    int i;
    for (i = 0; i < n; i++)
        y[i] = i > 0 && x[i] < x[i - 1] ? x[i - 1] : x[i];
}
/* ==== right ==== */
    int i;
    for (i = n - 1; i > 0; i--)
        y[i] = x[i] > x[i - 1] ? x[i] : x[i - 1];
    if (n > 0)
        y[0] = x[0];
/* ==== wrong ==== */
    int i;
    for (i = 0; i < n; i++)
        y[i] = x[i];
