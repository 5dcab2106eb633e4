// task: argmax
// expect: correct_slow|correct_fast
// id: honest
// what: maximum first, then its first place
for (int i = 0; i < m; i++) {
        const float *r = x + (size_t)i * n;
        float best = r[0];
        for (int j = 1; j < n; j++)
            best = r[j] > best ? r[j] : best;
        int at = 0;
        while (r[at] != best)
            at++;
        y[i] = at;
    }
