// task: rms_norm
// expect: wrong_output
// id: B13
// what: a rough reciprocal square root
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++)
            s += x[i * n + j] * x[i * n + j];
        float v = s / (float)n + eps, h = 0.5f * v;
        unsigned u;
        memcpy(&u, &v, 4);
        u = 0x5f3759dfu - (u >> 1);
        memcpy(&v, &u, 4);
        v = v * (1.5f - h * v * v);
        for (int j = 0; j < n; j++)
            y[i * n + j] = x[i * n + j] * v * w[j];
    }
