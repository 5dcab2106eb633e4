/* --function wave --shape out=n --size n=5000 --value step=0.01 */
#include <math.h>
/* No input arrays. */
void wave(float *out, int n, float step)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)(sin((double)step * i) * cos((double)step * i));
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        out[i] = (float)(0.5 * sin(2.0 * step * i));
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        out[i] = step * (float)i;
