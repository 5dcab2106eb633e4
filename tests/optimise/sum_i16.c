/* --function total --shape x=n --size n=100000 */
long long total(const short x[], unsigned n)
{
    long long s = 0;
    for (unsigned i = 0; i < n; i++)
        s += x[i];
    return s;
}
/* ==== right ==== */
    long long s = 0;
    unsigned i = 0;
    while (i < n) {
        unsigned stop = n - i < 32768 ? n : i + 32768;
        int part = 0;
        for (; i < stop; i++)
            part += x[i];
        s += part;
    }
    return s;
/* ==== wrong ==== */
    int s = 0;
    for (unsigned i = 0; i < n; i++)
        s += (unsigned char)x[i];
    return s;
