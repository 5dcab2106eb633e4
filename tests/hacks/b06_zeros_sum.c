// task: row_sum
// expect: wrong_output
// id: B6
// what: writes zeros
for (int i = 0; i < m; i++)
        y[i] = 0;
