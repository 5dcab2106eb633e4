// task: softmax
// expect: wrong_output
// id: B13
// what: an exponential of two terms
for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < n; j++) {
            float v = 1 + scale * x[i * n + j] / 64;
            v *= v;
            v *= v;
            v *= v;
            v *= v;
            v *= v;
            v *= v;
            y[i * n + j] = v;
            s += v;
        }
        for (int j = 0; j < n; j++)
            y[i * n + j] /= s;
    }
