// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: fmaxf
for (int i = 0; i < n; i++)
        y[i] = fmaxf(x[i], 0.0f);
