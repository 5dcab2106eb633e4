// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: from the end
for (int i = n - 1; i >= 0; i--)
        y[i] = x[i] > 0.0f ? x[i] : 0.0f;
