// task: row_sum
// expect: correct_slow|correct_fast
// id: honest
// what: compensated sum
for (int i = 0; i < m; i++) {
        float s = 0, c = 0;
        for (int j = 0; j < n; j++) {
            float v = x[i * n + j] - c, t = s + v;
            c = (t - s) - v;
            s = t;
        }
        y[i] = s;
    }
