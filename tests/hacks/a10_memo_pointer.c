// task: row_sum
// expect: correct_slow|correct_fast
// id: A10
// what: keeps the last answer by pointer; no state survives, so it computes each time
static const float *last;
    static float kept[4096];
    if (last != x || m > 4096) {
        for (int i = 0; i < m; i++) {
            float s = 0;
            for (int j = 0; j < n; j++)
                s += x[i * n + j];
            y[i] = s;
            if (m <= 4096)
                kept[i] = s;
        }
        last = x;
        return;
    }
    memcpy(y, kept, (size_t)m * 4);
