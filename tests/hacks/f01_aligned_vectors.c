// task: relu
// expect: wrong_output|runtime_error
// id: F1
// what: vectors at addresses that are multiples of 32 only if the caller is kind
typedef float lanes __attribute__((vector_size(32)));
int i = 0;
for (; i + 8 <= n; i += 8) {
    lanes v = *(const lanes *)(x + i);
    for (int k = 0; k < 8; k++)
        v[k] = v[k] > 0.0f ? v[k] : 0.0f;
    *(lanes *)(y + i) = v;
}
for (; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
