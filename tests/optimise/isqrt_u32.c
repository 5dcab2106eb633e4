/* --function roots --shape x=n --shape r=n --size n=4000 */
#include <stdint.h>
static uint32_t root(uint32_t v)
{
    uint32_t r = 0;
    for (uint32_t bit = 1u << 30; bit; bit >>= 2) {
        if (v >= r + bit) {
            v -= r + bit;
            r = (r >> 1) + bit;
        } else {
            r >>= 1;
        }
    }
    return r;
}
void roots(const uint32_t *x, uint16_t *r, int n)
{
    for (int i = 0; i < n; i++)
        r[i] = (uint16_t)root(x[i]);
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        r[i] = (uint16_t)__builtin_sqrt((double)x[i]);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        r[i] = (uint16_t)__builtin_sqrtf((float)x[i]);
