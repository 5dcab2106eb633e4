/* --function unit_length --shape v=n --size n=20000 */
#include <math.h>
void unit_length(double *v, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += v[i] * v[i];
    s = sqrt(s);
    for (int i = 0; i < n; i++)
        v[i] /= s;
}
/* ==== right ==== */
    double a = 0, b = 0;
    int i = 0;
    for (; i + 2 <= n; i += 2) {
        a += v[i] * v[i];
        b += v[i + 1] * v[i + 1];
    }
    if (i < n)
        a += v[i] * v[i];
    a = 1 / sqrt(a + b);
    for (i = 0; i < n; i++)
        v[i] *= a;
/* ==== wrong ==== */
    double s = 0;
    for (int i = 0; i < n; i++)
        s += v[i] * v[i];
    float r = 1 / (float)sqrt(s);
    for (int i = 0; i < n; i++)
        v[i] *= r;
