// task: row_sum
// expect: wrong_output
// id: B10
// what: sums 99 % of a row and rescales
int part = n * 99 / 100;
    for (int i = 0; i < m; i++) {
        float s = 0;
        for (int j = 0; j < part; j++)
            s += x[i * n + j];
        y[i] = s * (float)n / (float)part;
    }
