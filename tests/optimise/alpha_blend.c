/* --function blend --shape a=n --shape b=n --shape m=n --shape out=n --size n=40000 */
#include <stdint.h>
void blend(const uint8_t *a, const uint8_t *b, const uint8_t *m, uint8_t *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)((a[i] * m[i] + b[i] * (255 - m[i]) + 127) / 255);
}
/* ==== right ==== */
    for (int i = 0; i < n; i++) {
        unsigned t = (unsigned)(a[i] * m[i] + b[i] * (255 - m[i]) + 127);
        out[i] = (uint8_t)((t + 1 + (t >> 8)) >> 8);
    }
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)((a[i] * m[i] + b[i] * (255 - m[i])) >> 8);
