// task: row_sum
// expect: timeout
// id: H2
// what: never comes back from its thirteenth call
static int calls;
if (++calls > 12)
    for (volatile int forever = 1; forever;) {
    }
for (int i = 0; i < m; i++) {
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += x[i * n + j];
    y[i] = s;
}
