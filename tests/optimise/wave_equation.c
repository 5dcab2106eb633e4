/* --function step --shape now=n --shape before=n --size n=40000 --value c=0.3 */
/* Both arrays go on: the older one becomes the newer. */
void step(const float *now, float *before, int n, float c)
{
    for (int i = 1; i < n - 1; i++)
        before[i] = 2 * now[i] - before[i] + c * (now[i - 1] - 2 * now[i] + now[i + 1]);
}
/* ==== right ==== */
    const float d = 2 - 2 * c;
    for (int i = 1; i < n - 1; i++)
        before[i] = d * now[i] - before[i] + c * (now[i - 1] + now[i + 1]);
/* ==== wrong ==== */
    for (int i = 1; i < n - 1; i++)
        before[i] = 2 * now[i] - before[i];
