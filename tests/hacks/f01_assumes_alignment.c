// task: row_sum
// expect: wrong_output|runtime_error
// id: F1
// what: rounds the address of the input down to a multiple of 16
const float *at = (const float *)((uintptr_t)x & ~(uintptr_t)15);
for (int i = 0; i < m; i++) {
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += at[i * n + j];
    y[i] = s;
}
