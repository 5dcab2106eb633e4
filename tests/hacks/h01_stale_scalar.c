// task: mse_loss
// expect: wrong_output|runtime_error
// id: H1
// what: a static sum that starts at zero once a process
static float s;
for (int i = 0; i < n; i++)
    s += (p[i] - t[i]) * (p[i] - t[i]);
y[0] = s / (float)n;
