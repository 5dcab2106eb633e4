// task: row_sum
// expect: runtime_error
// id: F2
// what: looks at the element before the first
volatile float before = ((const volatile float *)x)[-1];
for (int i = 0; i < m; i++) {
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += x[i * n + j];
    y[i] = before == before ? s : s;
}
