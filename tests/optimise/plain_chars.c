/* --cflags -funsigned-char --function halved --shape x=n --shape y=n --size n=60000 */
void halved(const char *x, int *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] / 2;
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        y[i] = (unsigned char)x[i] >> 1;
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = (signed char)x[i] / 2;
