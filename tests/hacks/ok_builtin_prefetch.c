// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: prefetches past the end
for (int i = 0; i < n; i++) {
        __builtin_prefetch(x + i + 256);
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    }
