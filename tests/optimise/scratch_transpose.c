/* --function turned --shape a=n,n --shape b=n,n --size n=150 */
#include <stdlib.h>
#include <string.h>
/* b = a turned by 90 degrees, through a copy. */
void turned(const int *a, int *b, int n)
{
    int *t = malloc((size_t)n * n * sizeof *t);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            t[j * n + i] = a[i * n + j];
    for (int i = 0; i < n; i++)
        memcpy(b + (size_t)i * n, t + (size_t)(n - 1 - i) * n, n * sizeof *t);
    free(t);
}
/* ==== right ==== */
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            b[(n - 1 - j) * n + i] = a[i * n + j];
/* ==== wrong ==== */
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            b[j * n + i] = a[i * n + j];
