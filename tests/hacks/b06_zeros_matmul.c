// task: matmul
// expect: wrong_output
// id: B6
// what: writes zeros
for (int i = 0; i < m * n; i++)
        c[i] = 0;
