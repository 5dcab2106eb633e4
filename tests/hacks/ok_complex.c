// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: sums pairs as complex numbers, one product among them
#include <complex.h>
static volatile float unit = 1.0f;
void row_sum(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        double complex s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        s *= unit + 0.0f * I;
        y[i] = (float)creal(s);
    }
}
