// task: row_max
// expect: correct_slow|correct_fast
// id: honest
// what: a maximum that starts at the least float
void row_max(const float *restrict x, float *restrict y, int m, int n)
{
    for (int i = 0; i < m; i++) {
        float top = -FLT_MAX;
#pragma omp simd reduction(max : top)
        for (int j = 0; j < n; j++)
            top = x[i * n + j] > top ? x[i * n + j] : top;
        y[i] = top;
    }
}
