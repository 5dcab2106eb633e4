// task: row_sum
// expect: wrong_output
// id: B8
// what: writes the expected sum
for (int i = 0; i < m; i++)
        y[i] = 0.5f * (float)n;
