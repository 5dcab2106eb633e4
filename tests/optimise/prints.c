/* --function loud --shape x=n --shape y=n --size n=1000 */
#include <stdio.h>
static float tell(float v) { printf("%g\n", (double)v); return v; }
void loud(const float *x, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = tell(x[i]);
}
/* ==== refused: loud needs `printf` ==== */
