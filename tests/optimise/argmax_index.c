/* --function where_largest --shape x=n --size n=50000 */
int where_largest(const float *x, int n)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[at])
            at = i;
    return at;
}
/* ==== right ==== */
    float top = x[0];
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++)
        if (x[i] == top)
            return i;
    return 0;
/* ==== wrong ==== */
    int at = 0;
    for (int i = 1; i < n; i++)
        if (x[i] >= x[at])
            at = i;
    return at;
