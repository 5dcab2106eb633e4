// task: relu
// expect: correct_slow|correct_fast
// id: honest
// what: a product with a comparison
for (int i = 0; i < n; i++)
        y[i] = x[i] * (float)(x[i] > 0.0f);
