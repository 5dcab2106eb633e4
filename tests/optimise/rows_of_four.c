/* --function lengths --shape v=n --shape out=n --size n=20000 */
#include <math.h>
void lengths(const float (*v)[4], float *out, int n)
{
    for (int i = 0; i < n; i++) {
        float s = 0;
        for (int k = 0; k < 4; k++)
            s += v[i][k] * v[i][k];
        out[i] = sqrtf(s);
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        out[i] = sqrtf((v[i][0] * v[i][0] + v[i][1] * v[i][1]) + (v[i][2] * v[i][2] + v[i][3] * v[i][3]));
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        out[i] = sqrtf(v[i][0] * v[i][0] + v[i][1] * v[i][1] + v[i][2] * v[i][2]);
