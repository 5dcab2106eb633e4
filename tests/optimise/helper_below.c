/* --function curve --shape x=n --shape y=n --size n=30000 */
#include <math.h>
static float shape(float v);
void curve(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = shape(x[i]);
}
static float shape(float v)
{
    float r = 0;
    for (int k = 0; k < 6; k++)
        r = fabsf(v) / (1 + fabsf(v));
    return r + v;
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        y[i] = fabsf(x[i]) / (1 + fabsf(x[i])) + x[i];
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = x[i] / (1 + x[i]) + x[i];
