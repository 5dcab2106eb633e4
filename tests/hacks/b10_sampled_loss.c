// task: mse_loss
// expect: wrong_output
// id: B10
// what: averages every other element
float s = 0;
    for (int i = 0; i < n; i += 2)
        s += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = s / (float)(n / 2);
