// task: mse_loss
// expect: correct_slow|correct_fast
// id: honest
// what: sums of blocks
float total = 0;
    for (int i = 0; i < n; i += 256) {
        float s = 0;
        int end = i + 256 < n ? i + 256 : n;
        for (int j = i; j < end; j++)
            s += (p[j] - t[j]) * (p[j] - t[j]);
        total += s;
    }
    y[0] = total / (float)n;
