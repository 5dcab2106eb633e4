/* --function axpy --shape x=n --shape y=n --size n=60000 --value a=0.75 */
#include <stdint.h>
void axpy(uint64_t n, const double a, const double *x, double *y)
{
    for (uint64_t i = 0; i < n; ++i)
        y[i] += a * x[i];
}
/* ==== right ==== */
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        y[i] += a * x[i];
        y[i + 1] += a * x[i + 1];
        y[i + 2] += a * x[i + 2];
        y[i + 3] += a * x[i + 3];
    }
    for (; i < n; i++)
        y[i] += a * x[i];
/* ==== wrong ==== */
    for (uint64_t i = 0; i + 4 <= n; i++)
        y[i] += a * x[i];
