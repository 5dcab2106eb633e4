/* --function result --shape x=n --size n=60000 --value returned=3 */
int result(const unsigned char *x, int n, int returned)
{
    int s = 0;
    for (int i = 0; i < n; i++)
        s += x[i] == returned;
    return s;
}
/* ==== right ==== */
    int s = 0;
    for (int i = 0; i < n; i++)
        s += !(x[i] ^ returned);
    return s;
/* ==== wrong ==== */
    unsigned char s = 0;
    for (int i = 0; i < n; i++)
        s += x[i] == returned;
    return s;
