/* --function running --shape x=n --size n=40000 */
#include <stdint.h>
void running(int32_t *x, int n)
{
    for (int i = 1; i < n; i++)
        if (x[i] < x[i - 1])
            x[i] = x[i - 1];
}
/* ==== right ==== */
    int32_t top = n > 0 ? x[0] : 0;
    for (int i = 1; i < n; i++) {
        top = x[i] > top ? x[i] : top;
        x[i] = top;
    }
/* ==== wrong ==== */
    for (int i = n - 1; i > 0; i--)
        if (x[i] < x[i - 1])
            x[i] = x[i - 1];
