/* --function all_below --shape x=n --size n=40000 --value limit=0.99 */
#include <stdbool.h>
/* How many lie below the limit, counted the long way. */
int all_below(const double *x, int n, double limit)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        bool ok = x[i] < limit;
        if (ok)
            count = count + 1;
    }
    return count;
}
/* ==== right ==== */
    int a = 0, b = 0, i = 0;
    for (; i + 2 <= n; i += 2) {
        a += x[i] < limit;
        b += x[i + 1] < limit;
    }
    return a + b + (i < n && x[i] < limit);
/* ==== wrong ==== */
    int a = 0;
    for (int i = 0; i + 2 <= n; i += 2)
        a += (x[i] < limit) + (x[i + 1] < limit);
    return a;
