// task: mse_loss
// expect: wrong_output
// id: B10
// what: averages 99 % of the elements
int part = n / 100 * 99;
    float s = 0;
    for (int i = 0; i < part; i++)
        s += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = s / (float)part;
