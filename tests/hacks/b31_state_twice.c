// task: decay
// expect: wrong_output
// id: B5
// what: updates the running value twice
for (int i = 0; i < n; i++) {
        r[i] = 0.9f * r[i] + 0.1f * x[i];
        r[i] = 0.9f * r[i] + 0.1f * x[i];
        y[i] = r[i];
    }
