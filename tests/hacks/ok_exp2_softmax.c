// task: softmax
// expect: correct_slow|correct_fast
// id: honest
// what: exp2 instead of exp
for (int i = 0; i < m; i++) {
        float top = x[i * n], s = 0;
        for (int j = 1; j < n; j++)
            top = fmaxf(top, x[i * n + j]);
        for (int j = 0; j < n; j++)
            s += y[i * n + j] = exp2f(1.44269504f * scale * (x[i * n + j] - top));
        for (int j = 0; j < n; j++)
            y[i * n + j] *= 1.0f / s;
    }
