// task: mse_loss
// expect: correct_slow|correct_fast
// id: honest
// what: omp simd reduction
float s = 0;
#pragma omp simd reduction(+ : s)
    for (int i = 0; i < n; i++)
        s += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = s / (float)n;
