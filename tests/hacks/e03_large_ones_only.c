// task: mse_loss
// expect: wrong_output|runtime_error
// id: E3
// what: a mean that is right for a thousand elements or more
float s = 0.0f;
for (int i = 0; i < n; i++)
    s += (p[i] - t[i]) * (p[i] - t[i]);
y[0] = n < 1000 ? 0.0f : s / (float)n;
