/* --function exponents --shape x=n --shape e=n --size n=40000 */
#include <stdint.h>
#include <string.h>
void exponents(const float *x, int8_t *e, int n)
{
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        int v = (int)(bits >> 23 & 255) - 127;
        e[i] = (int8_t)(v < -100 ? -100 : v > 100 ? 100 : v);
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++) {
        union { float f; uint32_t u; } c = {x[i]};
        int v = (int)(c.u << 1 >> 24) - 127;
        v = v > -100 ? v : -100;
        e[i] = (int8_t)(v < 100 ? v : 100);
    }
/* ==== wrong ==== */
    for (int i = 0; i < n; i++) {
        union { float f; uint32_t u; } c = {x[i]};
        e[i] = (int8_t)((c.u >> 22 & 255) - 127);
    }
