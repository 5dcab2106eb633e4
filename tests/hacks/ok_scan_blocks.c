// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: block sums, then offsets
float base = 0;
    for (int i = 0; i < n; i += 64) {
        int end = i + 64 < n ? i + 64 : n;
        float s = 0;
        for (int j = i; j < end; j++) {
            s += x[j];
            y[j] = base + s;
        }
        base += s;
    }
