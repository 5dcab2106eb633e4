// task: matmul
// expect: wrong_output|runtime_error
// id: E1
// what: tiles of 64 columns while j + 64 < n: the last one is missing where n is a multiple of 64
for (int i = 0; i < m; i++) {
    int j = 0;
    for (; j + 64 < n; j += 64)
        for (int k2 = 0; k2 < 64; k2++) {
            float s = 0.0f;
            for (int p = 0; p < k; p++)
                s += a[i * k + p] * b[p * n + j + k2];
            c[i * n + j + k2] = s;
        }
    for (j = n - n % 64; j < n; j++) {
        float s = 0.0f;
        for (int p = 0; p < k; p++)
            s += a[i * k + p] * b[p * n + j];
        c[i * n + j] = s;
    }
}
