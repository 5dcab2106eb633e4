/* --function mixed_in --shape x=n --shape y=n --size n=60000 --value wet=0.25 */
void mixed_in(const float *x, float *y, int n, float wet)
{
    for (int i = 0; i < n; i++)
        y[i] = x[i] * wet + (1.0f - wet);
}
/* ==== right ==== */
    const float dry = 1.0f - wet;
    for (int i = 0; i < n; i++)
        y[i] = dry + wet * x[i];
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = x[i] * 0.25f + 0.75f;
