/* --function bit_count --shape x=n --shape y=n --size n=4000 */
#include <stdint.h>
void bit_count(const uint64_t *x, int *y, int n)
{
    for (int i = 0; i < n; i++) {
        int c = 0;
        for (uint64_t v = x[i]; v; v &= v - 1)
            c++;
        y[i] = c;
    }
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        y[i] = __builtin_popcountll(x[i]);
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        y[i] = __builtin_popcountll(x[i] & 0x3fffffffffffffull);
