// task: relu
// expect: runtime_error
// id: F2
// what: reads 32 bytes where fewer are left and uses what belongs to it
int i = 0;
for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; k++)
        y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
if (i < n) {
    float last[8];
    for (int k = 0; k < 8; k++)
        last[k] = ((const volatile float *)x)[i + k];
    for (int k = 0; i + k < n; k++)
        y[i + k] = last[k] > 0.0f ? last[k] : 0.0f;
}
