// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: omp simd reduction
for (int i = 0; i < m; i++) {
        float s = 0.0f;
#pragma omp simd reduction(+ : s)
        for (int j = 0; j < n; j++)
            s += x[i * n + j];
        y[i] = s;
    }
