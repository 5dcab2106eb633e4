// task: decay
// expect: wrong_output
// id: B5
// what: leaves the running value as it was
for (int i = 0; i < n; i++)
        y[i] = 0.9f * r[i] + 0.1f * x[i];
