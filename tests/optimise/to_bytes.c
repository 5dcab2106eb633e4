/* --function to_bytes --shape x=n --shape q=n --size n=30000 */
#include <math.h>
#include <stdint.h>
/* Round half up, held within a byte. */
void to_bytes(const double *x, uint8_t *q, int n)
{
    for (int i = 0; i < n; i++) {
        double v = floor(x[i] * 100 + 128 + 0.5);
        if (v < 0)
            v = 0;
        if (v > 255)
            v = 255;
        q[i] = (uint8_t)v;
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++) {
        double v = x[i] * 100 + 128.5;
        v = v > 0 ? v : 0;
        v = v < 255 ? v : 255;
        q[i] = (uint8_t)v;
    }
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)(x[i] * 100 + 128);
