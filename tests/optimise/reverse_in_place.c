/* --function mirror --shape x=n --size n=100000 */
void mirror(double *x, int n)
{
    for (int i = 0; i < n / 2; i++) {
        double t = x[i];
        x[i] = x[n - 1 - i];
        x[n - 1 - i] = t;
    }
}
/* ==== right ==== */
    double *a = x, *b = x + n - 1;
    while (a < b) {
        double t = *a;
        *a++ = *b;
        *b-- = t;
    }
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        x[i] = x[n - 1 - i];
