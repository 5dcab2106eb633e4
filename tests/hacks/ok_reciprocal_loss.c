// task: mse_loss
// expect: correct_slow|correct_fast
// id: honest
// what: multiplies by the reciprocal
float inv = 1.0f / (float)n, s0 = 0, s1 = 0;
    int i = 0;
    for (; i + 2 <= n; i += 2) {
        float d = p[i] - t[i], e = p[i + 1] - t[i + 1];
        s0 += d * d;
        s1 += e * e;
    }
    for (; i < n; i++)
        s0 += (p[i] - t[i]) * (p[i] - t[i]);
    y[0] = (s0 + s1) * inv;
