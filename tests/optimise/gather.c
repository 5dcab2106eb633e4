/* --function gather --shape table=m --shape index=n --shape out=n --range index=0:m --size m=1000 --size n=40000 */
void gather(const float *table, const int *index, float *out, int m, int n)
{
    for (int i = 0; i < n; i++) {
        int k = index[i];
        out[i] = k >= 0 && k < m ? table[k] * table[k] : 0;
    }
}
/* ==== right ==== */
    (void)m;
    for (int i = 0; i < n; i++)
        out[i] = table[index[i]] * table[index[i]];
/* ==== wrong ==== */
    (void)m;
    for (int i = 0; i < n; i++)
        out[i] = table[index[i]];
