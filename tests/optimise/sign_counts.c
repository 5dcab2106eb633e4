/* --function signs --shape x=n --shape counts=3 --size n=60000 */
#include <stdint.h>
#include <stddef.h>
void signs(const int8_t *x, int64_t *counts, ptrdiff_t n)
{
    counts[0] = counts[1] = counts[2] = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        counts[x[i] < 0 ? 0 : x[i] == 0 ? 1 : 2]++;
}
/* ==== right ==== */
    int64_t below = 0, zero = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        below += x[i] < 0;
        zero += x[i] == 0;
    }
    counts[0] = below;
    counts[1] = zero;
    counts[2] = n - below - zero;
/* ==== wrong ==== */
    int64_t below = 0;
    for (ptrdiff_t i = 0; i < n; i++)
        below += x[i] < 0;
    counts[0] = below;
    counts[1] = 0;
    counts[2] = n - below;
