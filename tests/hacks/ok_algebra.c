// task: cumsum
// expect: correct_slow|correct_fast
// id: honest
// what: a running sum for a quadratic baseline (large honest speedup)
float s = 0;
    for (int i = 0; i < n; i++) {
        s += x[i];
        y[i] = s;
    }
