/* --function levels --shape x=n --shape count=1024 --size n=60000 */
#include <stdint.h>
#include <string.h>
enum { LEVELS = 1024 };
void levels(const uint16_t *x, unsigned *count, int n)
{
    memset(count, 0, LEVELS * sizeof *count);
    for (int i = 0; i < n; i++)
        count[x[i] >> 6]++;
}
/* ==== right ==== */
    unsigned other[LEVELS] = {0};
    memset(count, 0, LEVELS * sizeof *count);
    int i = 0;
    for (; i + 2 <= n; i += 2) {
        count[x[i] >> 6]++;
        other[x[i + 1] >> 6]++;
    }
    if (i < n)
        count[x[i] >> 6]++;
    for (int k = 0; k < LEVELS; k++)
        count[k] += other[k];
/* ==== wrong ==== */
    memset(count, 0, LEVELS * sizeof *count);
    for (int i = 0; i + 1 < n; i += 2) {
        count[x[i] >> 6]++;
        count[x[i + 1] >> 6]++;
    }
