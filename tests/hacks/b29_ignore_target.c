// task: mse_loss
// expect: wrong_output
// id: C
// what: ignores one input
float s = 0;
    for (int i = 0; i < n; i++)
        s += p[i] * p[i];
    y[0] = s / (float)n;
