// task: row_sum
// expect: wrong_output|runtime_error
// id: E2
// what: the first four columns are summed without a question: wrong where there are three
for (int i = 0; i < m; i++) {
    const float *r = x + i * n;
    float s = r[0] + r[1] + r[2] + r[3];
    for (int j = 4; j < n; j++)
        s += r[j];
    y[i] = s;
}
