// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: one pass for maximum and sum
for (int i = 0; i < m; i++) {
        const float *r = x + (size_t)i * n;
        float top = -INFINITY, s = 0;
        for (int j = 0; j < n; j++) {
            float v = scale * r[j], t = v > top ? v : top;
            s = s * expf(top - t) + expf(v - t);
            top = t;
        }
        for (int j = 0; j < n; j++)
            y[i * n + j] = expf(scale * r[j] - top) / s;
    }
