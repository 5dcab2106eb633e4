/* --function scaled --shape x=n --shape y=n --size n=40000 --value by=1.5 */
#include <stdio.h>
static void scaled(float by, const float *x, float *y, int n);
void show(const float *x, float *y, int n)
{
    scaled(2, x, y, n);
    for (int i = 0; i < n; i++)
        printf("%g\n", (double)y[i]);
}
static void scaled(float by, const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++) {
        y[i] = 0;
        for (int k = 0; k < 8; k++)
            y[i] += by * x[i] * 0.125f;
    }
}
int main(void)
{
    return 0;
}
/* ==== right ==== */
#include <stddef.h>
static float one(float by, float v) { return by * v; }
void scaled(float factor, const float *restrict from, float *restrict to, int count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        to[i] = one(factor, from[i]);
}
/* ==== wrong ==== */
void scaled(float by, const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = 2 * x[i];
}
