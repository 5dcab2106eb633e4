// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: vectors by memcpy, which asks for no alignment
typedef float lanes __attribute__((vector_size(32)));
int i = 0;
for (; i + 8 <= n; i += 8) {
    lanes v;
    memcpy(&v, x + i, sizeof v);
    for (int k = 0; k < 8; k++)
        v[k] = v[k] > 0.0f ? v[k] : 0.0f;
    memcpy(y + i, &v, sizeof v);
}
for (; i < n; i++)
    y[i] = x[i] > 0.0f ? x[i] : 0.0f;
