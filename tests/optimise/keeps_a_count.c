/* --function counted --shape x=n --shape y=n --size n=1000 */
void counted(const float *x, float *y, int n)
{
    static int calls;
    calls++;
    for (int i = 0; i < n; i++)
        y[i] = x[i] * (float)calls;
}
/* ==== refused: counted keeps `calls` from call to call ==== */
