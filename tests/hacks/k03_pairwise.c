// task: mse_loss
// expect: correct_slow|correct_fast
// id: honest
// what: sixteen sums, added in pairs
float part[16] = {0};
for (int i = 0; i < n; i++)
    part[i % 16] += (p[i] - t[i]) * (p[i] - t[i]);
for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; i++)
        part[i] += part[i + step];
y[0] = part[0] / (float)n;
