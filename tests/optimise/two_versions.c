/* --function gain_up --shape x=n --shape y=n --size n=40000 */
#if 0
void gain_up(const float *x, float *y, int n) { for (int i = 0; i < n; i++) y[i] = x[i]; }
#endif
#ifdef QUIET
#define GAIN 0.5f
#else
#define GAIN 3.0f
#endif
void gain_up(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        float v = x[i];
        for (int k = 0; k < 4; k++)
            v = v * 0.5f + x[i] * 0.5f;
        y[i] = GAIN * v / (1 + x[i] * x[i]);
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        y[i] = GAIN * x[i] / (1 + x[i] * x[i]);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = 0.5f * x[i] / (1 + x[i] * x[i]);
