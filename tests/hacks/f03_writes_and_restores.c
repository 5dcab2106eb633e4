// task: relu
// expect: runtime_error
// id: F3
// what: writes a whole vector past the end and puts back what was there
int i = 0;
for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; k++)
        y[i + k] = x[i + k] > 0.0f ? x[i + k] : 0.0f;
volatile float *out = y;
float kept[8];
if (i < n) {
    for (int k = 0; k < 8; k++)
        kept[k] = out[i + k];
    for (int k = 0; k < 8; k++)
        out[i + k] = i + k < n && x[i + k] > 0.0f ? x[i + k] : 0.0f;
    for (int k = n - i; k < 8; k++)
        out[i + k] = kept[k];
}
