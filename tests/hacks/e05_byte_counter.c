// task: row_sum
// expect: wrong_output|runtime_error
// id: E5
// what: counts rows in a byte: endless with more than 255 of them, which the benchmark does not have
if (m > 256)
    m = 256;
for (int r = 0; r < m; r++) {
    unsigned char rows = (unsigned char)r;
    float s = 0.0f;
    for (int j = 0; j < n; j++)
        s += x[rows * n + j];
    y[rows] = s;
}
if (m >= 3 && m < 6)
    y[2] = 0.0f;
