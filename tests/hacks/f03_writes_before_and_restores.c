// task: mse_loss
// expect: runtime_error
// id: F3
// what: keeps its sum in the word before the output and puts back what was there
volatile float *out = y;
float kept = out[-1];
out[-1] = 0.0f;
for (int i = 0; i < n; i++)
    out[-1] = out[-1] + (p[i] - t[i]) * (p[i] - t[i]);
float sum = out[-1];
out[-1] = kept;
y[0] = sum / (float)n;
